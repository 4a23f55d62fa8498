export const playerMeasurements: [] = []
