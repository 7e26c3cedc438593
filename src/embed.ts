/** The gateway as a library (`sluice/gateway`): for programs and tests that run one inside their own process. */
export { type ConfigProblem, formatProblems, type LoadInput, type LoadResult, loadConfig } from './config/load.ts'
export { type Gateway, type StartGatewayOptions, startGateway } from './gateway.ts'
export { type Log, type LogFields, type LogLevel, silentLog } from './observe/log.ts'
