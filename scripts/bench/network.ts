export const networkMeasurements: [] = []
