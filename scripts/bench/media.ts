export const mediaMeasurements: [] = []
