import type { Migration } from './migration.ts'

/** A source's captions are a list. What was offered before is not known of a file: it is read, and never deleted. */
export const severalCaptions: Migration = {
  version: 8,
  statements: [
    {
      sqlite: `update work set input = json_set(json_remove(input, '$.captionsPath'), '$.captions',
          case when input ->> '$.captionsPath' is null then json('[]') else json_array(json_object(
            'path', input ->> '$.captionsPath', 'sizeBytes', -1, 'modifiedAtMs', 0)) end)
        where input ->> '$.kind' = 'file'`,
      postgres: `update work set input = ((input::jsonb - 'captionsPath') || jsonb_build_object('captions',
          case when input::jsonb ->> 'captionsPath' is null then '[]'::jsonb else jsonb_build_array(jsonb_build_object(
            'path', input::jsonb ->> 'captionsPath', 'sizeBytes', -1, 'modifiedAtMs', 0)) end))::text
        where input::jsonb ->> 'kind' = 'file'`,
    },
    {
      sqlite: `update work set input = json_set(json_remove(input, '$.captionsUpload'), '$.captionsUploads',
          case when input ->> '$.captionsUpload' is null then json('[]') else json_array(input ->> '$.captionsUpload') end)
        where input ->> '$.kind' = 'upload'`,
      postgres: `update work set input = ((input::jsonb - 'captionsUpload') || jsonb_build_object('captionsUploads',
          case when input::jsonb ->> 'captionsUpload' is null then '[]'::jsonb
            else jsonb_build_array(input::jsonb ->> 'captionsUpload') end))::text
        where input::jsonb ->> 'kind' = 'upload'`,
    },
  ],
}
