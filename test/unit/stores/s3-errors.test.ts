import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { judge, nodeError } from '../../../src/adapters/s3-store/errors.ts'

function answer(name: string, status: number | undefined, more: object = {}): Error {
  return Object.assign(new Error(`said ${name}`), {
    name,
    $metadata: status === undefined ? {} : { httpStatusCode: status },
    ...more,
  })
}

describe('what an answer of an S3 service means', () => {
  it.each([
    ['NoSuchKey', 404, 'E_OBJECT_ABSENT', false],
    ['NotFound', 404, 'E_OBJECT_ABSENT', false],
    ['NoSuchBucket', 404, 'E_NODE_UNREACHABLE', false],
    ['InvalidRange', 416, 'E_OBJECT_RANGE', false],
    ['AccessDenied', 403, 'E_NODE_REFUSED', false],
    ['SignatureDoesNotMatch', 403, 'E_NODE_REFUSED', false],
    ['QuotaExceeded', 403, 'E_NODE_FULL', false],
    ['EntityTooLarge', 413, 'E_NODE_FULL', false],
    ['Unknown', 507, 'E_NODE_FULL', false],
    ['BadDigest', 400, 'E_NODE_CORRUPT', true],
    ['InternalError', 500, 'E_NODE_UNREACHABLE', true],
    ['SlowDown', 503, 'E_NODE_UNREACHABLE', true],
    ['TooManyRequests', 429, 'E_NODE_UNREACHABLE', true],
    ['NotImplemented', 501, 'E_NODE_REFUSED', false],
    ['PermanentRedirect', 301, 'E_NODE_REFUSED', false],
    ['constructor', 400, 'E_NODE_REFUSED', false],
    ['ECONNREFUSED', undefined, 'E_NODE_UNREACHABLE', true],
    ['SyntaxError', 200, 'E_NODE_UNREACHABLE', true],
  ])('%s (%s) is %s, again: %s', (name, status, code, again) => {
    expect(judge(answer(name, status))).toMatchObject({ code, again })
  })

  it('tells a connection that was broken off from a silent node', () => {
    const reset = answer('TimeoutError', undefined, { code: 'ECONNRESET' })
    const silent = answer('TimeoutError', undefined)
    const shown = [reset, silent].map(
      (one) => nodeError(one, { label: 'n1', operation: 'GetObject', key: 'f/a' }, []).fields['answer'],
    )
    expect(shown).toEqual(['ECONNRESET', 'TimeoutError'])
  })

  it('keeps name, status and request id, and no key', () => {
    const secrets = ['AKIDEXAMPLE', 'sesame']
    const told = answer('InvalidAccessKeyId', 403, {
      AWSAccessKeyId: 'AKIDEXAMPLE',
      $response: { headers: { authorization: 'AKIDEXAMPLE' } },
    })
    told.message = 'AKIDEXAMPLE and sesame are wrong'
    Object.assign((told as unknown as { $metadata: object }).$metadata, { requestId: 'r-1' })
    const error = nodeError(told, { label: 'n1', operation: 'PutObject', key: 'f/a' }, secrets)
    expect(error.fields).toEqual({
      node: 'n1',
      operation: 'PutObject',
      key: 'f/a',
      answer: 'InvalidAccessKeyId',
      status: 403,
    })
    expect(error.cause).toMatchObject({ name: 'InvalidAccessKeyId', status: 403, requestId: 'r-1' })
    const shown = inspect(error, { depth: 9, showHidden: true })
    for (const secret of secrets) expect(shown.includes(secret)).toBe(false)
  })
})
