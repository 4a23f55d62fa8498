import type { Description } from '../api/operation.ts'
import { uploadView } from './metadata-schema.ts'

const forHosts = { tag: 'uploads', roles: ['host'] } as const
const resumable = {
  name: 'Tus-Resumable',
  says: { en: '1.0.0', de: '1.0.0' },
  isRequired: true,
} as const
const offset = (says: Description['summary']) => ({ name: 'Upload-Offset', says, isRequired: true })
const stands = offset({ en: 'Bytes that are there.', de: 'Bytes, die da sind.' })
const recording = {
  name: 'Mosaik-Recording',
  says: {
    en: 'The recording that the complete upload became.',
    de: 'Die Aufzeichnung, zu der das vollständige Hochladen wurde.',
  },
} as const

/** What the document tells of uploads: they are served by a tus 1.0.0 server, with any client of it. */
export const uploadDescriptions: readonly Description[] = [
  {
    ...{ id: 'createUpload', method: 'post', path: '/uploads', ...forHosts },
    summary: { en: 'Begins a resumable upload (tus 1.0.0)', de: 'Beginnt ein fortsetzbares Hochladen (tus 1.0.0)' },
    about: {
      en: 'Metadata, each value in Base64: filename, title, host, and optionally kind (recording or captions), hostName, hostEmail, startedAt, source, externalId, captionsUpload (ids of uploads of captions, with a comma in between), sha256.',
      de: 'Metadaten, jeder Wert in Base64: filename, title, host und wahlweise kind (recording oder captions), hostName, hostEmail, startedAt, source, externalId, captionsUpload (ids hochgeladener Untertitel, mit Komma dazwischen), sha256.',
    },
    requestHeaders: [
      resumable,
      {
        name: 'Upload-Length',
        says: { en: 'Bytes; or Upload-Defer-Length: 1.', de: 'Bytes; oder Upload-Defer-Length: 1.' },
      },
      { name: 'Upload-Metadata', says: { en: 'name Base64, …', de: 'Name Base64, …' }, isRequired: true },
    ],
    answerHeaders: [
      { name: 'Location', says: { en: 'Where it goes on.', de: 'Wo es weitergeht.' }, isRequired: true },
      recording,
    ],
    answer: { status: 201, says: { en: 'It may be sent.', de: 'Es darf gesendet werden.' } },
    problems: ['E_INPUT', 'E_SOURCE_EMPTY', 'E_TOO_LARGE', 'E_READ_ONLY'],
  },
  {
    ...{ id: 'getUpload', method: 'get', path: '/uploads/{id}', ...forHosts },
    summary: { en: 'How far it is, and what became of it', de: 'Wie weit es ist, und was daraus wurde' },
    about: {
      en: 'Only for the token that began it.',
      de: 'Nur für das Token, das es begonnen hat.',
    },
    answer: { status: 200, says: { en: 'The upload.', de: 'Das Hochladen.' }, json: uploadView },
    problems: ['E_UPLOAD_UNKNOWN'],
  },
  {
    ...{ id: 'getUploadOffset', method: 'head', path: '/uploads/{id}', ...forHosts },
    summary: { en: 'Where to go on', de: 'Wo es weitergeht' },
    requestHeaders: [resumable],
    answerHeaders: [stands],
    answer: { status: 200, says: { en: 'In the headers.', de: 'In den Kopfzeilen.' } },
    problems: ['E_UPLOAD_UNKNOWN'],
  },
  {
    ...{ id: 'continueUpload', method: 'patch', path: '/uploads/{id}', ...forHosts },
    summary: { en: 'Sends bytes', de: 'Sendet Bytes' },
    about: {
      en: 'The last byte makes the recording. After a cut: HEAD, and go on from there.',
      de: 'Das letzte Byte macht die Aufzeichnung. Nach einer Unterbrechung: HEAD, und von dort weiter.',
    },
    requestHeaders: [resumable, offset({ en: 'Byte to go on from.', de: 'Byte, von dem an es weitergeht.' })],
    bodyBytes: 'application/offset+octet-stream',
    answerHeaders: [stands, recording],
    answer: { status: 204, says: { en: 'They are sealed in the spool.', de: 'Sie liegen versiegelt bereit.' } },
    problems: ['E_UPLOAD_UNKNOWN', 'E_CONFLICT', 'E_TOO_LARGE', 'E_SPOOL'],
  },
  {
    ...{ id: 'abandonUpload', method: 'delete', path: '/uploads/{id}', ...forHosts },
    summary: { en: 'Gives an upload up', de: 'Gibt ein Hochladen auf' },
    requestHeaders: [resumable],
    answer: { status: 204, says: { en: 'It is gone.', de: 'Es ist weg.' } },
    problems: ['E_UPLOAD_UNKNOWN', 'E_INPUT'],
  },
]
