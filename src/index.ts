/** What a `sluice.config.ts` imports. Light on purpose: every worker loads it. The gateway as a library is `sluice/gateway` (embed.ts). */
export { type ConfigContext, type ConfigModule, type ConfigOptions, defineConfig } from './config/define.ts'
export type {
  BodyValue,
  FilterContext,
  FilterFunction,
  FilterHeaders,
  FilterRequest,
  FilterResponse,
  Next,
  RespondOptions,
} from './config/filter-api.ts'
