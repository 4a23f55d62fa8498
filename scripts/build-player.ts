/**
 * Builds the pages: the watch page into `build/watch` (index.html, watch.js, watch.css; hls.js inside), the page of the API into
 * `build/docs` beside it. One script each, nothing from elsewhere.
 *
 *     node scripts/build-player.ts [OUTPUT-FOLDER]
 */
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

/** Builds the watch page into a folder, the page of the API into `docs` beside it, and returns the folder. */
export async function buildPlayer(folder = join(root, 'build/watch')): Promise<string> {
  const hlsLicence = await readFile(join(root, 'node_modules/hls.js/LICENSE'), 'utf8')
  const licences = `Contains hls.js:\n\n${hlsLicence.trim().replaceAll('*/', '* /')}\n`
  await buildPage('watch', folder, licences)
  await buildPage('docs', join(folder, '../docs'), '')
  return folder
}

async function buildPage(name: 'watch' | 'docs', folder: string, licences: string): Promise<void> {
  const source = join(root, 'src/console', name)
  await mkdir(folder, { recursive: true })
  await build({
    entryPoints: [join(source, `${name}.ts`), join(source, `${name}.css`)],
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
    banner: { js: `/*!\nMosaik, Apache-2.0. ${licences}*/` },
    logLevel: 'warning',
  })
  await copyFile(join(source, 'index.html'), join(folder, 'index.html'))
}

if (import.meta.main) await buildPlayer(process.argv[2] === undefined ? undefined : resolve(process.argv[2]))
