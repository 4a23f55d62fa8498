/**
 * Builds the watch page into `build/watch`: index.html, watch.js, watch.css. One script, hls.js inside, nothing from elsewhere.
 *
 *     node scripts/build-player.ts [OUTPUT-FOLDER]
 */
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const source = join(root, 'src/console/watch')

/** Builds the page into a folder and returns the folder. */
export async function buildPlayer(folder = join(root, 'build/watch')): Promise<string> {
  await mkdir(folder, { recursive: true })
  const hlsLicence = await readFile(join(root, 'node_modules/hls.js/LICENSE'), 'utf8')
  await build({
    entryPoints: [join(source, 'watch.ts'), join(source, 'watch.css')],
    outdir: folder,
    bundle: true,
    minify: true,
    format: 'esm',
    target: ['chrome109', 'firefox115', 'safari16'],
    // the whole of it: the light one cannot choose between sounds
    alias: { 'hls.js': join(root, 'node_modules/hls.js/dist/hls.mjs') },
    // nothing of the machine it was built on
    absWorkingDir: root,
    legalComments: 'inline',
    banner: { js: `/*!\nMosaik, Apache-2.0. Contains hls.js:\n\n${hlsLicence.trim().replaceAll('*/', '* /')}\n*/` },
    logLevel: 'warning',
  })
  await copyFile(join(source, 'index.html'), join(folder, 'index.html'))
  return folder
}

if (import.meta.main) await buildPlayer(process.argv[2] === undefined ? undefined : resolve(process.argv[2]))
