export const scaleMeasurements: [] = []
