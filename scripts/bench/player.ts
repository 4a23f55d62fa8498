import { LESS, Skipped, type Measurement } from './row.ts'

export const playerMeasurements: Measurement[] = [
  {
    names: ['player.first-picture.vs-static'],
    unit: LESS,
    run: () =>
      Promise.reject(new Skipped('the harness with a browser and a static server of the same HLS is not written yet')),
  },
]
