// undici as a package of its own (Node's built-in fetch has another copy): `node undici.cjs URL`.
'use strict'
const { request } = require('undici')
request(process.argv[2]).then(async ({ statusCode, body }) => console.log(statusCode, await body.text()))
