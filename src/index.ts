/** The public surface of the package: what a `sluice.config.ts` needs, and the gateway as a library. */
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
export { type ConfigProblem, formatProblems, type LoadInput, type LoadResult, loadConfig } from './config/load.ts'
export { type Gateway, type StartGatewayOptions, startGateway } from './gateway.ts'
export type { Log, LogFields, LogLevel } from './observe/log.ts'
