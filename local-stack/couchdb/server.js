// A stand-in for CouchDB: a PouchDB server behind the part of CouchDB's contract that this project uses.
// Settings: COUCHDB_PORT, COUCHDB_DATA (folder), COUCHDB_USER, COUCHDB_PASSWORD. Listens on loopback only.
'use strict';

const fs = require('fs');
const path = require('path');
const basicAuth = require('basic-auth');
const cookies = require('cookie');
const express = require('express');
const { hashAdminPasswords } = require('pouchdb-auth');
const expressPouchDB = require('express-pouchdb');
const pouchUtils = require('express-pouchdb/lib/utils');
const installValidation = require('./validation');

const { COUCHDB_PORT, COUCHDB_DATA, COUCHDB_USER, COUCHDB_PASSWORD } = process.env;
for (const name of ['COUCHDB_PORT', 'COUCHDB_DATA', 'COUCHDB_USER', 'COUCHDB_PASSWORD']) {
  if (!process.env[name]) {
    console.error(`${name} is required`);
    process.exit(1);
  }
}
// Parts of express-pouchdb that run code of requests, open other servers or replace what this file does better.
const UNUSED = ['routes/attachments', 'routes/http-log', 'routes/list', 'routes/log', 'routes/rewrite', 'routes/show',
  'routes/special-test-auth', 'routes/temp-views', 'routes/update', 'routes/vhosts', 'validation'];

// express-pouchdb answers a request it did not expect by throwing outside of any handler; one bad request must not
// end the server.
process.on('uncaughtException', (error) => console.error('uncaught:', error));
process.on('unhandledRejection', (error) => console.error('unhandled:', error));

function answer(response, status, body) {
  response.status(status).json(body);
}

function isPublic(request) {
  return request.path === '/' || request.path === '/_up' || request.path === '/_session' || /^\/_utils(\/|$)/.test(request.path);
}

// What only a server administrator may do: create and drop databases, and every call that is not about one database.
function needsAdmin(request) {
  const [first, second] = request.path.split('/').filter(Boolean);
  if (!second && ['PUT', 'DELETE'].includes(request.method)) return true;
  return first.startsWith('_') && !['_users', '_uuids'].includes(first);
}

async function userOf(request, users) {
  const session = cookies.parse(request.headers.cookie || '').AuthSession;
  if (session) {
    const { userCtx } = await users.multiUserSession(session);
    if (userCtx.name) return userCtx;
  }
  const given = basicAuth(request);
  return given ? users.multiUserLogIn(given.name, given.pass) : null;
}

// Nothing but the log-in and the dashboard's files is reached without valid credentials.
function guard(users) {
  return async (request, response, next) => {
    if (isPublic(request)) return next();
    const user = await userOf(request, users).catch(() => null);
    if (!user) {
      response.set('WWW-Authenticate', 'Basic realm="server"');
      return answer(response, 401, { error: 'unauthorized', reason: 'Name or password is incorrect.' });
    }
    if (needsAdmin(request) && !user.roles.includes('_admin')) {
      return answer(response, 401, { error: 'unauthorized', reason: 'You are not a server admin.' });
    }
    return next();
  };
}

// CouchDB answers JSON to clients that take anything; express-pouchdb would choose text/plain.
function preferJson(request, response, next) {
  if (['*/*', undefined].includes(request.headers.accept)) request.headers.accept = 'application/json';
  next();
}

async function start() {
  fs.mkdirSync(COUCHDB_DATA, { recursive: true });
  const configPath = path.join(COUCHDB_DATA, 'config.json');
  // Hashed before the server reads it: a plain password would leave it open to everybody for a moment.
  const admins = await hashAdminPasswords({ [COUCHDB_USER]: COUCHDB_PASSWORD });
  fs.writeFileSync(configPath, JSON.stringify({ admins, log: { level: 'none' } }), { mode: 0o600 });

  const PouchDB = require('pouchdb-core')
    .plugin(require('pouchdb-adapter-leveldb'))
    .plugin(require('pouchdb-mapreduce'))
    .plugin(require('pouchdb-replication'))
    .plugin(require('pouchdb-find'))
    .defaults({ prefix: path.join(COUCHDB_DATA, '/'), adapter: 'leveldb' });
  const couch = expressPouchDB({
    configPath,
    logPath: path.join(COUCHDB_DATA, 'server.log'),
    overrideMode: { exclude: UNUSED },
  });
  installValidation(couch);
  await couch.setPouchDB(PouchDB);
  const users = await pouchUtils.getUsersDB(couch, PouchDB);

  const app = express();
  app.disable('x-powered-by');
  app.get('/_up', (_, response) => answer(response, 200, { status: 'ok', seeds: {} }));
  app.use(preferJson, guard(users), couch);
  const server = app.listen(Number(COUCHDB_PORT), '127.0.0.1', () => console.log(`listening on 127.0.0.1:${COUCHDB_PORT}`));
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => {
      server.close(() => process.exit(0));
      server.closeAllConnections();
    });
  }
}

start().catch((error) => {
  console.error(error);
  process.exit(1);
});
