// Runs the validate_doc_update functions of design documents the way CouchDB does, once per batch.
//
// express-pouchdb brings its own, which reads all design documents again for every single document and calls the
// functions before it looks for conflicts, so a redelivered event would be answered "forbidden" instead of "conflict".
'use strict';

const vm = require('vm');
const PouchPluginError = require('pouchdb-plugin-error');
const wrappers = require('pouchdb-wrappers');

const isExempt = (id) => /^_(design|local)\//.test(String(id));

// The compiled functions of a database; `db.validators` holds them until a design document is written.
async function functionsOf(db) {
  if (!db.validators) {
    const { rows } = await db.allDocs({ startkey: '_design/', endkey: '_design0', include_docs: true });
    db.validators = rows
      .filter((row) => row.doc.validate_doc_update)
      .map((row) => vm.runInNewContext(`(${row.doc.validate_doc_update})`));
  }
  return db.validators;
}

function refuse(thrown) {
  if (thrown.unauthorized) return new PouchPluginError({ status: 401, name: 'unauthorized', message: thrown.unauthorized });
  if (thrown.forbidden) return new PouchPluginError({ status: 403, name: 'forbidden', message: thrown.forbidden });
  return new PouchPluginError({ status: 500, name: 'compilation_error', message: String(thrown) });
}

async function validate(db, doc, options) {
  if (isExempt(doc._id)) {
    db.validators = null;
    return;
  }
  const functions = await functionsOf(db);
  if (!functions.length) return;
  const stored = await db.get(doc._id).catch(() => null);
  // Without the stored revision this is a conflict, which the database itself reports; a replicated write names none.
  if (stored && stored._rev !== doc._rev && options.new_edits !== false) return;
  try {
    functions.forEach((check) => check(doc, stored, options.userCtx, options.secObj || {}));
  } catch (thrown) {
    throw refuse(thrown);
  }
}

// Writes what passes and answers one row for each document, in the order they came in.
async function writeBatch(write, args) {
  const refusals = await Promise.all(
    args.docs.map((doc) => validate(args.base, doc, args.options).then(() => null, (error) => Object.assign(error, { id: doc._id }))),
  );
  args.docs = args.docs.filter((_, index) => !refusals[index]);
  const written = args.docs.length ? await write() : [];
  return refusals.map((refusal) => refusal || written.shift());
}

const checked = {
  put: (write, args) => validate(args.base, args.doc, args.options).then(write),
  post: (write, args) => validate(args.base, args.doc, args.options).then(write),
  remove: (write, args) => validate(args.base, { ...args.doc, _deleted: true }, args.options).then(write),
  bulkDocs: writeBatch,
};

module.exports = function installValidation(couch) {
  couch.dbWrapper.registerWrapper((name, db, next) => {
    wrappers.installWrapperMethods(db, checked);
    return next();
  });
};
