import { z } from 'zod'
import { MosaikError } from '../../domain/errors.ts'
import type { VaultClient } from '../client.ts'
import type { Screen } from '../screen.ts'

const policyView = z.object({
  scheme: z.object({ k: z.number(), n: z.number(), t: z.number() }),
  placementRule: z.string(),
})

/** `mosaik policy`: shows, or sets, the scheme and placement rule of new recordings; what is stored already stays as it is. */
export async function setPolicy(
  client: VaultClient,
  screen: Screen,
  options: { readonly scheme?: string; readonly placement?: string },
): Promise<void> {
  const change = {
    ...(options.scheme === undefined ? {} : { scheme: parseScheme(options.scheme) }),
    ...(options.placement === undefined ? {} : { placementRule: options.placement }),
  }
  const answer =
    Object.keys(change).length === 0
      ? await client.get('operator', '/policy')
      : await client.patch('operator', '/policy', change)
  const { scheme, placementRule } = policyView.parse(answer)
  screen.result(`scheme (k, n, t) = (${scheme.k}, ${scheme.n}, ${scheme.t}), placement ${placementRule}`, {
    scheme,
    placementRule,
  })
}

/** @throws E_INPUT */
export function parseScheme(text: string): { k: number; n: number; t: number } {
  const [k, n, t, ...rest] = text.split(',').map(Number)
  if (k === undefined || n === undefined || t === undefined || rest.length > 0) {
    throw new MosaikError('E_INPUT', `--scheme ${text} is not k,n,t, for example 3,5,1`)
  }
  return { k, n, t }
}
