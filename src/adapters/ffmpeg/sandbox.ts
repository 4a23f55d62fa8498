import { spawn } from 'node:child_process'
import { access, constants, lstat, mkdtemp, readlink, realpath, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MosaikError } from '../../domain/errors.ts'
import type { Clock } from '../../ports/system.ts'

/** Folders that programs are looked for in, and the PATH of the tools: nothing of our own environment reaches them. */
export const DEFAULT_SEARCH_PATH = '/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin'

/** Port inside the sandbox; its network is its own, so the number means nothing outside. */
const INNER_PORT = 8008
const INNER_FOLDER = '/run/mosaik'
const PROBE_MS = 10_000

/** The programs found on this machine, as absolute paths. */
export interface Programs {
  readonly ffmpeg: string
  readonly ffprobe: string
  /** Limits memory and files; undefined where it does not exist (not Linux). */
  readonly prlimit: string | undefined
  readonly nice: string | undefined
  /** Lets the tool die with us where no sandbox does. */
  readonly setpriv: string | undefined
  readonly bwrap: string | undefined
  /** These two carry the tool's connections out of the sandbox. */
  readonly bash: string | undefined
  readonly socat: string | undefined
}

/** A command ready to be spawned. */
export interface Command {
  readonly file: string
  readonly args: readonly string[]
}

/** Where a tool's command runs, and how it reaches its input. */
export interface Confinement {
  readonly name: 'bubblewrap' | 'loopback'
  /**
   * A place for the reader of one run. `dispose` removes it; it is also safe to call once the tool has connected.
   */
  openPlace(): Promise<{ readonly socketPath: string | undefined; dispose(): Promise<void> }>
  /** The input's address as the tool has to name it. */
  url(secretPath: string, port: number): string
  /** Wraps `program` with limits and, if there is one, the sandbox. */
  command(program: string, args: readonly string[], socketPath: string | undefined): Command
}

/** What `detectConfinement` needs to know. */
export interface ConfinementOptions {
  readonly programs: Programs
  readonly clock: Clock
  readonly searchPath: string
  /** Where the socket folders are made, mode 0700. Sockets only: nothing of a recording is ever there. */
  readonly socketFolder: string
  readonly memoryBytes: number
  readonly wanted: 'auto' | 'bubblewrap' | 'loopback'
}

/** @throws E_SETUP naming what to install when ffmpeg or ffprobe is not there. */
export async function findPrograms(searchPath: string): Promise<Programs> {
  const [ffmpeg, ffprobe, prlimit, nice, setpriv, bwrap, bash, socat] = await Promise.all(
    ['ffmpeg', 'ffprobe', 'prlimit', 'nice', 'setpriv', 'bwrap', 'bash', 'socat'].map((name) =>
      findProgram(name, searchPath),
    ),
  )
  if (ffmpeg === undefined || ffprobe === undefined) {
    throw new MosaikError(
      'E_SETUP',
      `${ffmpeg === undefined ? 'ffmpeg' : 'ffprobe'} was not found in ${searchPath}: install the package ffmpeg ` +
        '(Debian and Ubuntu: apt-get install ffmpeg bubblewrap socat; macOS: brew install ffmpeg)',
    )
  }
  return { ffmpeg, ffprobe, prlimit, nice, setpriv, bwrap, bash, socat }
}

async function findProgram(name: string, searchPath: string): Promise<string | undefined> {
  for (const folder of searchPath.split(':').filter((part) => part.startsWith('/'))) {
    const path = join(folder, name)
    try {
      await access(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder.
    }
  }
  return undefined
}

/**
 * The best confinement that works here, found by running it: bubblewrap may be installed and still be refused by a
 * container, AppArmor or the kernel. Answers also why it is not the better one.
 *
 * @throws E_SETUP when bubblewrap is demanded and does not work.
 */
export async function detectConfinement(
  options: ConfinementOptions,
): Promise<{ confinement: Confinement; reason: string | null; startMs: number }> {
  const loopback = loopbackConfinement(options)
  if (options.wanted === 'loopback') return { confinement: loopback, reason: 'by configuration', startMs: 0 }
  let reason: string
  const { bwrap, bash, socat } = options.programs
  if (bwrap === undefined) {
    reason = 'bubblewrap is not installed'
  } else if (bash === undefined || socat === undefined) {
    reason = `bubblewrap needs ${socat === undefined ? 'socat' : 'bash'}, which is not installed`
  } else {
    const sandbox = await bubblewrapConfinement(options, { bwrap, bash, socat })
    const begun = options.clock.monotonicMs()
    const works = await tryOut(sandbox, options)
    if (works) return { confinement: sandbox, reason: null, startMs: options.clock.monotonicMs() - begun }
    reason = 'bubblewrap cannot run here (container, AppArmor, or user namespaces switched off)'
  }
  if (options.wanted === 'bubblewrap') throw new MosaikError('E_SETUP', `the media tool cannot be confined: ${reason}`)
  return { confinement: loopback, reason, startMs: 0 }
}

/** Starts the whole arrangement once, forwarder and limits included, with a command that reads nothing. */
async function tryOut(sandbox: Confinement, options: ConfinementOptions): Promise<boolean> {
  const place = await sandbox.openPlace()
  try {
    // The socket is bound into the sandbox, so something has to lie there.
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(place.socketPath, resolve)
    })
    const { file, args } = sandbox.command(options.programs.ffmpeg, ['-hide_banner', '-version'], place.socketPath)
    const timeout = new AbortController()
    const works = await new Promise<boolean>((resolve) => {
      const child = spawn(file, args, {
        stdio: 'ignore',
        env: { PATH: options.searchPath },
        detached: true,
      })
      child.on('error', () => {
        resolve(false)
      })
      child.on('exit', (code) => {
        resolve(code === 0)
      })
      options.clock.sleep(PROBE_MS, timeout.signal).then(
        () => child.kill('SIGKILL'),
        () => undefined,
      )
    })
    timeout.abort()
    await new Promise((resolve) => server.close(resolve))
    return works
  } finally {
    await place.dispose()
  }
}

/**
 * The tool with its limits. RLIMIT_FSIZE 0: it cannot write to any file, wherever it may run; pipes are not counted.
 * No core files: they would hold pictures.
 */
function limited(programs: Programs, memoryBytes: number, program: string, args: readonly string[]): readonly string[] {
  const limits = ['--fsize=0', '--core=0', '--nofile=256', `--as=${String(memoryBytes)}`]
  return [
    ...(programs.prlimit === undefined ? [] : [programs.prlimit, ...limits]),
    ...(programs.nice === undefined ? [] : [programs.nice, '-n', '10']),
    program,
    ...args,
  ]
}

function loopbackConfinement({ programs, memoryBytes }: ConfinementOptions): Confinement {
  return {
    name: 'loopback',
    openPlace: () => Promise.resolve({ socketPath: undefined, dispose: () => Promise.resolve() }),
    url: (secretPath, port) => `http://127.0.0.1:${String(port)}${secretPath}`,
    command(program, args) {
      const orphan = programs.setpriv === undefined ? [] : [programs.setpriv, '--pdeathsig', 'KILL']
      const [file = program, ...rest] = [...orphan, ...limited(programs, memoryBytes, program, args)]
      return { file, args: rest }
    },
  }
}

/**
 * Bubblewrap: no network, no home, no environment, no capabilities, user "nobody", a root of system libraries that
 * cannot be written to; what is started dies with us.
 */
async function bubblewrapConfinement(
  options: ConfinementOptions,
  { bwrap, bash, socat }: { readonly bwrap: string; readonly bash: string; readonly socat: string },
): Promise<Confinement> {
  const { programs, memoryBytes } = options
  const forwarder = fileURLToPath(new URL('./forwarder.sh', import.meta.url))
  const fixed = [
    ...['--unshare-all', '--unshare-user', '--uid', '65534', '--gid', '65534', '--cap-drop', 'ALL'],
    ...['--die-with-parent', '--new-session', '--clearenv', '--setenv', 'PATH', '/usr/bin:/bin'],
    ...(await systemFolders()),
    ...['--dev', '/dev', '--tmpfs', '/tmp', '--chdir', '/tmp'],
    ...(await outsideUsr([programs.ffmpeg, programs.ffprobe, bash, socat])),
    ...['--ro-bind', forwarder, `${INNER_FOLDER}/forwarder.sh`],
  ]
  return {
    name: 'bubblewrap',
    async openPlace() {
      const folder = await mkdtemp(join(options.socketFolder, 'mosaik-media-'))
      return { socketPath: join(folder, 'input'), dispose: () => rm(folder, { recursive: true, force: true }) }
    },
    url: (secretPath) => `http://127.0.0.1:${String(INNER_PORT)}${secretPath}`,
    command(program, args, socketPath = '') {
      return {
        file: bwrap,
        args: [
          ...fixed,
          ...['--bind', socketPath, `${INNER_FOLDER}/input`, '--'],
          ...[bash, `${INNER_FOLDER}/forwarder.sh`, socat, `${INNER_FOLDER}/input`, String(INNER_PORT)],
          ...limited(programs, memoryBytes, program, args),
        ],
      }
    },
  }
}

/** Libraries and programs of the system, read-only; /lib and /bin as this machine has them: links, or folders. */
async function systemFolders(): Promise<string[]> {
  const args = ['--ro-bind', '/usr', '/usr']
  for (const folder of ['/bin', '/lib', '/lib32', '/lib64']) {
    try {
      const link = (await lstat(folder)).isSymbolicLink()
      args.push(...(link ? ['--symlink', await readlink(folder), folder] : ['--ro-bind', folder, folder]))
    } catch {
      // This machine has none.
    }
  }
  for (const path of ['/etc/alternatives', '/etc/ld.so.cache', '/etc/ld.so.conf', '/etc/ld.so.conf.d']) {
    args.push('--ro-bind-try', path, path)
  }
  return args
}

/** The folders of programs that were installed elsewhere, for example a static build below /opt. */
async function outsideUsr(programs: readonly string[]): Promise<string[]> {
  const folders = new Set<string>()
  for (const program of programs) {
    for (const path of [program, await realpath(program)]) {
      if (!path.startsWith('/usr/') && !path.startsWith('/bin/')) folders.add(dirname(path))
    }
  }
  return [...folders].flatMap((folder) => ['--ro-bind', folder, folder])
}
