/** Who may do what over the API. A host sees the own organisation's recordings; nobody's role includes another organisation. */
export const roles = ['host', 'officer', 'operator', 'auditor'] as const
export type Role = (typeof roles)[number]
