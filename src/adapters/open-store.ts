import { MosaikError } from '../domain/errors.ts'
import {
  nodeLocation,
  type NodeCapabilities,
  type NodeDriver,
  type NodeSettings,
  type OpenOptions,
} from '../ports/node-driver.ts'
import type { ObjectStore } from '../ports/object-store.ts'
import type { Clock, Random } from '../ports/system.ts'
import { openDirectoryStore } from './directory-store.ts'
import { probeDirectory } from './directory-store/probe.ts'
import type { S3Limits } from './s3-store/client.ts'
import { probeS3 } from './s3-store/probe.ts'
import { openS3Store } from './s3-store/store.ts'

/** What stores take from the outside world. */
export interface StoreWorld {
  readonly clock: Clock
  readonly random: Random
  /** Time limits of S3 nodes, where they differ from the defaults. */
  readonly s3Limits?: Partial<S3Limits>
}

/** Opens a node of any driver; see `NodeDriver.open`. @throws E_NODE_UNREACHABLE, E_CONFIG */
export async function openStore(
  settings: NodeSettings,
  capabilities: NodeCapabilities,
  world: StoreWorld,
  options: OpenOptions = {},
): Promise<ObjectStore> {
  const { clock, random, s3Limits = {} } = world
  const label = options.label ?? nodeLocation(settings)
  if (settings.driver === 'directory' && capabilities.driver === 'directory') {
    const { path } = settings
    return openDirectoryStore({ path, label, registration: options.registration ?? false, clock, random })
  }
  if (settings.driver === 's3' && capabilities.driver === 's3') {
    return openS3Store({ settings, capabilities, label, limits: s3Limits, clock, random })
  }
  const { driver } = settings
  const message = `node ${label} is of the driver ${driver} and was probed as ${capabilities.driver}; probe it again`
  throw new MosaikError('E_CONFIG', message, { node: label, driver })
}

/** Finds out what a node does; see `NodeDriver.probe`. @throws E_NODE_UNSUITABLE and the others of a store */
export async function probeNode(
  settings: NodeSettings,
  world: StoreWorld,
  signal: AbortSignal,
): Promise<NodeCapabilities> {
  const { clock, random, s3Limits = {} } = world
  if (settings.driver === 's3') return probeS3({ settings, clock, random, limits: s3Limits }, signal)
  return probeDirectory({ path: settings.path, label: nodeLocation(settings), clock, random }, signal)
}

/** The driver of all nodes that this vault knows how to reach. */
export function createNodeDriver(world: StoreWorld): NodeDriver {
  return {
    probe: (settings, signal) => probeNode(settings, world, signal),
    open: (settings, capabilities, options) => openStore(settings, capabilities, world, options),
  }
}
