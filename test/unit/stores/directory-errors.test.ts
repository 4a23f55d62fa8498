import { expect, it } from 'vitest'
import { fileError, isMissing } from '../../../src/adapters/directory-store/errors.ts'

it.each([
  ['ENOSPC', 'E_NODE_FULL'],
  ['EDQUOT', 'E_NODE_FULL'],
  ['EACCES', 'E_NODE_REFUSED'],
  ['EPERM', 'E_NODE_REFUSED'],
  ['EROFS', 'E_NODE_REFUSED'],
  ['EIO', 'E_NODE_UNREACHABLE'],
  ['ESTALE', 'E_NODE_UNREACHABLE'],
  ['ENOENT', 'E_NODE_UNREACHABLE'],
])('%s is %s, with its cause', (errno, code) => {
  const cause = Object.assign(new Error('from the system'), { code: errno })
  expect(fileError(cause, 'disk', 'write')).toMatchObject({
    code,
    cause,
    fields: { node: 'disk', operation: 'write', errno },
  })
  expect(isMissing(cause)).toBe(errno === 'ENOENT')
})
