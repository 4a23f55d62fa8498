import type { Id } from '../domain/ids.ts'
import type { Manifest, ManifestAsset } from '../domain/recording.ts'
import type { UnwrapPurpose } from './keyring.ts'

/** One asset, readable at any place. */
export interface AssetReader {
  readonly asset: ManifestAsset
  /**
   * Plaintext bytes [startBytes, endBytes); chunks belong to the caller. Nothing unauthenticated ever leaves. Pull-driven: stopping the
   * iteration or aborting stops the fetching.
   * @throws E_SHARES_TOO_FEW naming the nodes that are missing, E_OBJECT_RANGE when the range is outside the asset
   */
  read(startBytes: number, endBytes: number, signal: AbortSignal): AsyncIterable<Uint8Array<ArrayBuffer>>
  /**
   * Takes back the memory of a chunk that `read` gave and that nothing reads any more; it may be empty afterwards. Not calling it costs
   * speed and nothing else.
   */
  recycle(chunk: Uint8Array<ArrayBuffer>): void
}

/** An opened recording. Holds keys in memory: keep it no longer than one request or job. */
export interface OpenedRecording {
  readonly manifest: Manifest
  /** @throws E_ASSET_UNKNOWN */
  asset(id: Id): AssetReader
}

/** The read path as the rest of the house sees it: Range → segments → blocks → plaintext (docs/ARCHITECTURE.md). */
export interface VaultReader {
  /**
   * Opens the latest stored manifest; from memory when it was opened less than ten minutes ago and is still the latest.
   * @throws E_RECORDING_UNKNOWN, E_RECORDING_NOT_READY (no manifest stored yet), E_SHARES_TOO_FEW
   */
  open(organisation: Id, recording: Id, purpose: UnwrapPurpose, signal: AbortSignal): Promise<OpenedRecording>
}
