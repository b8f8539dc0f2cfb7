// Loaded by NODE_OPTIONS=--require in sandboxes: Node 20's built-in fetch ignores HTTPS_PROXY, so its
// dispatcher is replaced by undici's EnvHttpProxyAgent (the built-in fetch reads the same global symbol).
'use strict'
try {
  const { EnvHttpProxyAgent, setGlobalDispatcher } = require('/usr/share/nodejs/undici')
  const emit = process.emitWarning
  process.emitWarning = () => {} // undici announces EnvHttpProxyAgent as experimental
  setGlobalDispatcher(new EnvHttpProxyAgent())
  process.emitWarning = emit
} catch (error) {
  process.stderr.write(`orchbox: fetch has no proxy: ${error.message}\n`)
}
