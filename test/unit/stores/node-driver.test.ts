import { describe, expect, it } from 'vitest'
import { nodeLocation, nodeSettings } from '../../../src/ports/node-driver.ts'

const s3 = {
  driver: 's3',
  endpoint: 'https://s3.example.eu',
  region: 'eu-1',
  bucket: 'vault-1',
  accessKeyId: 'AK',
  secretAccessKey: 'sesame',
}

describe('settings of a node', () => {
  it('takes a bucket and a folder', () => {
    expect(nodeSettings.parse(s3)).toEqual({ ...s3, forcePathStyle: true })
    expect(nodeSettings.parse({ driver: 'directory', path: '/srv/disk' })).toEqual({
      driver: 'directory',
      path: '/srv/disk',
    })
  })

  it.each([
    { endpoint: 'ftp://s3.example.eu' },
    { endpoint: 'https://user:word@s3.example.eu' },
    { endpoint: 'https://s3.example.eu/bucket' },
    { endpoint: 's3.example.eu' },
    { bucket: 'A' },
    { bucket: '../x' },
    { prefix: 'vault' },
    { prefix: '/vault/' },
    { prefix: '../' },
    { region: 'a b' },
    { accessKeyId: '' },
    { pathStyle: true },
  ])('refuses %j, and does not say the secret', (wrong) => {
    const result = nodeSettings.safeParse({ ...s3, ...wrong })
    expect(result.success).toBe(false)
    expect(JSON.stringify(result.error)).not.toContain('sesame')
  })

  it('refuses a relative folder', () => {
    expect(nodeSettings.safeParse({ driver: 'directory', path: 'disk' }).success).toBe(false)
  })

  it('says where a node lies, without secrets', () => {
    const location = nodeLocation(nodeSettings.parse({ ...s3, prefix: 'a/' }))
    expect(location).toBe('https://s3.example.eu/vault-1/a/')
  })
})
