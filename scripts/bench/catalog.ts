export const catalogMeasurements: [] = []
