// Makes renditions with ffmpeg. Any number.
import { runProcess } from '../src/main/worker-process.ts'

await runProcess(['transcode'])
