import { MosaikError } from '../domain/errors.ts'
import type { NodeOwnership } from '../domain/node.ts'

const fields = ['country', 'operator', 'parent', 'site'] as const

/** @throws E_INPUT naming the field */
export function checkOwnership(ownership: NodeOwnership): void {
  if (!/^[A-Za-z]{2}$/.test(ownership.country)) {
    throw new MosaikError('E_INPUT', 'country must be two letters (ISO 3166-1), for example DE')
  }
  for (const field of fields) {
    const value = ownership[field].trim()
    if (value.length === 0 || value.length > 100) {
      throw new MosaikError('E_INPUT', `${field} must have 1 to 100 characters`)
    }
  }
}

/** As it is kept. */
export function tidyOwnership({ country, operator, parent, site }: NodeOwnership): NodeOwnership {
  return { country: country.toUpperCase(), operator: operator.trim(), parent: parent.trim(), site: site.trim() }
}
