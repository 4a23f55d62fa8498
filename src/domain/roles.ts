/**
 * Who may do what over the API. host: recordings and links; officer: what is kept; operator: nodes and work, no content; auditor: what
 * happened; admin: organisations and tokens, nothing else. Nobody's role includes another organisation; what concerns all of them (nodes,
 * organisations) is for operators and admins of the provider's, the installation's first.
 */
export const roles = ['host', 'officer', 'operator', 'auditor', 'admin'] as const
export type Role = (typeof roles)[number]
