import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createFfmpegTool } from '../../../src/adapters/ffmpeg/tool.ts'
import { describeFile } from '../../../src/adapters/file-source.ts'
import { nodeClock, nodeRandom } from '../../../src/adapters/node-system.ts'
import { makeTestVault, silentLog, type TestVault } from '../../support/test-vault.ts'

const never = new AbortController().signal
let vault: TestVault
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mosaik-media-'))
  vault = await makeTestVault({
    media: await createFfmpegTool({ clock: nodeClock, random: nodeRandom(), log: silentLog }),
  })
})
afterAll(async () => {
  await vault.close()
  rmSync(folder, { recursive: true, force: true })
})

function ffmpeg(...args: string[]): void {
  execFileSync('ffmpeg', ['-v', 'error', '-y', ...args], { stdio: ['ignore', 'ignore', 'inherit'] })
}

async function readAsset(recording: string, name: string): Promise<Buffer> {
  const opened = await vault.reader.open(vault.organisation, recording, 'play', never)
  const asset = opened.manifest.assets.find((candidate) => candidate.name === name)!
  const chunks: Uint8Array[] = []
  for await (const chunk of opened.asset(asset.id).read(0, asset.contentBytes, never)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

describe('transcode', () => {
  it('makes renditions, a poster and captions of a stored recording, which decode to its length', async () => {
    const path = join(folder, 'meeting.mp4')
    ffmpeg(
      ...'-f lavfi -i testsrc2=size=1280x720:rate=25:duration=6 -f lavfi -i sine=duration=6'.split(' '),
      ...'-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50 -c:a aac'.split(' '),
      path,
    )
    const captionsPaths = ['meeting.srt', 'meeting.en.vtt', 'meeting.fr.vtt'].map((name) => join(folder, name))
    writeFileSync(captionsPaths[0]!, '1\n00:00:01,000 --> 00:00:02,000\nGrüezi\n')
    writeFileSync(captionsPaths[1]!, 'no captions at all')
    writeFileSync(captionsPaths[2]!, 'WEBVTT\n\n00:01.000 --> 00:02.000\nSalut\n')
    const recording = await vault.deposit(path, { ...(await describeFile(path)), captionsPaths })
    await vault.runDue()

    const row = await vault.catalog.recordings.get(recording, vault.organisation)
    expect(row).toMatchObject({ state: 'ready', generation: 2, reason: null })
    expect(row!.durationMs).toBeGreaterThan(5_900)
    const { manifest } = await vault.reader.open(vault.organisation, recording, 'play', never)
    expect(manifest.assets.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'original meeting.mp4',
      'captions und',
      'captions fr',
      'rendition 720p',
      'rendition 360p',
      'rendition audio',
      'poster poster',
      'storyboard sprite',
      'storyboard thumbnails',
    ])
    // six pictures of 160 by 90, one a second
    expect((await readAsset(recording, 'thumbnails')).toString()).toContain(
      '00:00:05.000 --> 00:00:06.000\nstoryboard.jpg#xywh=800,0,160,90\n',
    )
    const sprite = join(folder, 'sprite.jpg')
    writeFileSync(sprite, await readAsset(recording, 'sprite'))
    const entries = ['-show_entries', 'stream=codec_name,width,height', '-of', 'csv=p=0']
    const found = execFileSync('ffprobe', ['-v', 'error', ...entries, sprite]).toString()
    expect(found.trim()).toBe('mjpeg,960,90')
    expect((await readAsset(recording, 'und')).toString()).toContain('00:00:01.000 --> 00:00:02.000\nGrüezi')
    expect((await readAsset(recording, 'fr')).toString()).toContain('Salut')
    // the others are no worse for the one that is none
    const refused = (await vault.recordings.events(recording)).filter(({ kind }) => kind === 'captions-refused')
    expect(refused).toMatchObject([{ fields: { code: 'E_INPUT' } }])
    expect(await readAsset(recording, 'meeting.mp4')).toEqual(readFileSync(path))
    for (const name of ['720p', '360p']) {
      const copy = join(folder, `${name}.mp4`)
      writeFileSync(copy, await readAsset(recording, name))
      const seconds = execFileSync('ffprobe', [
        '-v',
        'error',
        '-count_frames',
        '-select_streams',
        'v:0',
        '-show_entries',
        'stream=nb_read_frames,height',
        '-of',
        'csv=p=0',
        copy,
      ]).toString()
      expect(seconds.trim()).toBe(`${name.replace('p', '')},150`)
    }
  })

  it('leaves a broken file safe and says why it cannot be played', async () => {
    const path = join(folder, 'notes.mp4')
    writeFileSync(path, 'these are notes and no film\n'.repeat(100))
    const recording = await vault.deposit(path, await describeFile(path))
    await vault.runDue()
    const row = await vault.catalog.recordings.get(recording, vault.organisation)
    expect(row!.state).toBe('unplayable')
    expect(row!.reason!.code).toMatch(/^E_MEDIA_/)
    expect(await vault.catalog.recordings.receipt(recording)).toBeDefined()
    expect(await readAsset(recording, 'notes.mp4')).toEqual(readFileSync(path))
  })
})
