/** Makes the sample recording: node scripts/sample-recording.ts [OUT.mp4] */
import { makeSampleRecording } from '../src/main/sample.ts'

const outPath = process.argv[2] ?? 'sample.mp4'
const sample = await makeSampleRecording(outPath)
console.log(`${sample.videoPath}\n${sample.captionsPath}`)
