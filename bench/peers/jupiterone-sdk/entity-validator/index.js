// Made when the SDK is loaded, called when it makes entities, which an upload does not.
'use strict';

class EntityValidator {
  validateEntity() {
    throw new Error('the entity validator is not on the public registry');
  }
}

module.exports = { EntityValidator };
