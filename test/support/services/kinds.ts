/** Faults of one running server. All can be repeated; all resolve when the change is in force. */
export interface Faults {
  /** Ends it as it likes to be ended. */
  stop(): Promise<void>
  /** SIGKILL: connections are refused from now on. */
  kill(): Promise<void>
  /** SIGSTOP: takes connections and never answers. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Starts it again after `stop` or `kill`. */
  start(): Promise<void>
}

/** One S3 endpoint that stands for one vendor: keys and bucket names of its own. */
export interface S3Node extends Faults {
  readonly endpoint: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** A server that several nodes share. */
export interface Backend {
  readonly name: string
  /** SIGKILL. */
  kill(): Promise<void>
  start(): Promise<void>
}

export interface S3Service {
  readonly backends: readonly Backend[]
  /** As many as were asked for, or more when another suite asked for more. */
  readonly nodes: readonly S3Node[]
}

/** Another key of the user whom a node's keys belong to. */
export interface S3Key {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Makes it worthless. */
  withdraw(): Promise<void>
}

export interface CephService extends S3Service {
  /** @param index of the node, from 0 */
  newKey(index: number): Promise<S3Key>
}

export interface RedisService extends Faults {
  readonly url: string
  readonly port: number
}

export interface PostgresService extends Faults {
  /** Of the database `postgres`, as a superuser without password. */
  readonly url: string
  /** Makes an empty database, or a copy of one that nobody is connected to; gives back its url. */
  createDatabase(originalUrl?: string): Promise<string>
}

/** The real servers that tests use. */
export interface Services {
  readonly ceph: CephService
  readonly swift: S3Service
  readonly redis: RedisService
  readonly postgres: PostgresService
}

export type ServiceKind = keyof Services

export interface ServiceOptions {
  /** For ceph and swift. Default 1. */
  readonly nodes?: number
  /**
   * Name of the instance. Suites that kill or pause servers take a name of their own; all others share `shared` and
   * keep apart by buckets, databases and key prefixes.
   */
  readonly instance?: string
  /** Where Ceph keeps objects: in memory (default), forgotten when it is killed, or on disk. Fixed by who starts the instance. */
  readonly store?: 'memstore' | 'bluestore'
}

/** A kind of server, as the harness sees it. */
export interface Starter<K extends ServiceKind> {
  /** What is missing on this machine and how to get it, or undefined. */
  missing(): string | undefined
  /** Starts it in `folder`, or attaches to what runs there. Called by one process at a time. */
  start(folder: string, firstPort: number, options: ServiceOptions): Promise<Services[K]>
  /** Ends everything of `folder`. */
  destroy(folder: string): Promise<void>
}
