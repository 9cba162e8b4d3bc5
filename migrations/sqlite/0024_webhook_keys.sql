-- The API key that made a webhook or last switched it on; none when a wallet did. It is sent to only while
-- that key is good. A key that is gone is not good either, so this is no reference.
ALTER TABLE webhooks ADD COLUMN api_key_id TEXT;

CREATE INDEX webhooks_by_api_key ON webhooks (api_key_id) WHERE api_key_id IS NOT NULL;
