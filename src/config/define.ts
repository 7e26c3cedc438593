/** What a `sluice.config.ts` imports. */
import type { FilterFunction } from './filter-api.ts'
import type { CustomFunction } from './filter-schema.ts'
import type { WrittenConfig } from './schema.ts'

/** `T` with every custom filter typed as `F`. */
type WithFilter<T, F> = T extends CustomFunction ? F : T extends object ? { [K in keyof T]: WithFilter<T[K], F> } : T

/** The whole configuration as a user writes it. `F` is the type of a custom filter; the filter layer knows it. */
export type ConfigOptions<F = FilterFunction> = WithFilter<WrittenConfig, F>

/** What is handed to a configuration that is written as a function. */
export interface ConfigContext {
  /** The environment of the process. */
  env: Readonly<Record<string, string | undefined>>
}

/** The default export of a `sluice.config.ts`: the options, or a function that returns them, now or later. */
export type ConfigModule<F = FilterFunction> = ConfigOptions<F> | ((context: ConfigContext) => ConfigOptions<F> | Promise<ConfigOptions<F>>)

/** Gives the options their types in an editor and returns them unchanged. */
export function defineConfig(config: ConfigModule): ConfigModule {
  return config
}
