/**
 * Builds the pages: the watch page into `build/watch` (index.html, watch.js, watch.css, and hls.js beside: `hls-light.js`, and `hls.js` with
 * what a choice between sounds takes), the page of the API into `build/docs` beside it. Nothing from elsewhere.
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
  const hls = join(root, 'node_modules/hls.js/dist')
  await bundle(
    { 'hls-light': join(hls, 'hls.light.mjs'), hls: join(hls, 'hls.mjs') },
    folder,
    `hls.js:\n\n${hlsLicence.trim().replaceAll('*/', '* /')}\n`,
  )
  await buildPage('watch', folder)
  await buildPage('docs', join(folder, '../docs'))
  return folder
}

async function buildPage(name: 'watch' | 'docs', folder: string): Promise<void> {
  const source = join(root, 'src/console', name)
  await mkdir(folder, { recursive: true })
  await bundle([join(source, `${name}.ts`), join(source, `${name}.css`)], folder, 'Mosaik, Apache-2.0. ')
  await copyFile(join(source, 'index.html'), join(folder, 'index.html'))
}

async function bundle(entryPoints: string[] | Record<string, string>, folder: string, licence: string): Promise<void> {
  await build({
    entryPoints,
    outdir: folder,
    bundle: true,
    minify: true,
    format: 'esm',
    target: ['chrome109', 'firefox115', 'safari16'],
    // nothing of the machine it was built on
    absWorkingDir: root,
    legalComments: 'inline',
    banner: { js: `/*!\n${licence}*/` },
    logLevel: 'warning',
  })
}

if (import.meta.main) await buildPlayer(process.argv[2] === undefined ? undefined : resolve(process.argv[2]))
