/** A plain file in a folder. Two looks at it show the same file in the same shape when all of size, time and inode are equal. */
export interface FolderFile {
  /** From the folder's root, with "/" between the parts. */
  readonly path: string
  readonly sizeBytes: number
  readonly modifiedAtMs: number
  readonly inode: string
}

/** A folder that others put files into. Links are never followed, neither to files nor to folders. */
export interface Folder {
  /** All plain files, those in sub-folders too. @throws E_SOURCE_UNREADABLE when the folder itself cannot be read */
  list(): Promise<FolderFile[]>
  /** Opens the file and looks at what was opened; `undefined` when it is gone, a link, or no plain file. @throws E_SOURCE_UNREADABLE */
  stat(path: string): Promise<FolderFile | undefined>
  /** @throws E_SOURCE_UNREADABLE when it is gone, a link, larger than `maxBytes` or not UTF-8 */
  readText(path: string, maxBytes: number): Promise<string>
  /** The path as other processes on this machine know it. */
  absolute(path: string): string
}
