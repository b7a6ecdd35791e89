// Uploads the objects of a file into a scope with JupiterOne's SDK: a sync job from its start to its end.
// node upload.js URL ACCOUNT API_KEY SCOPE FILE plain|gzip
'use strict';

const fs = require('fs');
const {
  createApiClient,
  createIntegrationLogger,
  finalizeSynchronization,
  initiateSynchronization,
  synchronizationStatus,
  uploadGraphObjectData,
} = require('@jupiterone/integration-sdk-runtime');

// Between two questions whether the job has ended (ms).
const PAUSE = 50;

async function main([apiBaseUrl, account, accessToken, scope, file, encoding]) {
  const apiClient = createApiClient({
    apiBaseUrl,
    account,
    accessToken,
    compressUploads: encoding === 'gzip',
  });
  const logger = createIntegrationLogger({ name: 'bench' });
  const objects = JSON.parse(fs.readFileSync(file, 'utf8'));
  const context = await initiateSynchronization({ apiClient, logger, source: 'api', scope });
  await uploadGraphObjectData(context, objects);
  let job = await finalizeSynchronization({ ...context, partialDatasets: { types: [] } });
  while (!job.done) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    job = await synchronizationStatus(context);
  }
  if (job.status !== 'FINISHED') {
    throw new Error(`the sync job ended as ${job.status}`);
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
