// The uploader asks for an integration; what it uploads is what lies in .j1-integration.
exports.invocationConfig = { instanceConfigFields: {}, integrationSteps: [] };
