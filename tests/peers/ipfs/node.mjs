// A real IPFS node on 127.0.0.1: js-ipfs with its RPC (/api/v0) and its gateway. It knows no other peer and asks nobody:
// no bootstrap, no mDNS, no DHT, no preload or delegate servers.
//
//   node node.mjs REPO API_PORT GATEWAY_PORT SWARM_PORT
//
// Prints one JSON line when it is ready; SIGTERM ends it.

// it-queue wants this, and Node 20 does not have it
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

const [repo, api, gateway, swarm] = process.argv.slice(2)
const { create } = await import('ipfs-core')
const { HttpApi } = await import('ipfs-http-server')
const { HttpGateway } = await import('ipfs-http-gateway')

const node = await create({
  repo,
  silent: true,
  preload: { enabled: false },
  EXPERIMENTAL: { ipnsPubsub: false },
  config: {
    Addresses: {
      Swarm: [`/ip4/127.0.0.1/tcp/${swarm}`],
      Announce: [],
      NoAnnounce: [],
      API: `/ip4/127.0.0.1/tcp/${api}`,
      Gateway: `/ip4/127.0.0.1/tcp/${gateway}`,
      RPC: '',
      Delegates: []
    },
    Bootstrap: [],
    Discovery: { MDNS: { Enabled: false }, webRTCStar: { Enabled: false } },
    Routing: { Type: 'none' },
    Swarm: { DisableNatPortMap: true },
    Pubsub: { Enabled: false }
  }
})
const servers = [new HttpApi(node), new HttpGateway(node)]
for (const server of servers) await server.start()

let ending = false
const end = async () => {
  if (ending) return
  ending = true
  setTimeout(() => process.exit(1), 8000).unref()
  await Promise.allSettled(servers.map(server => server.stop()))
  await node.stop()
  process.exit(0)
}
process.on('SIGTERM', end)
process.on('SIGINT', end)
console.log(JSON.stringify({
  ready: true,
  pid: process.pid,
  api: `http://127.0.0.1:${api}`,
  gateway: `http://127.0.0.1:${gateway}/ipfs/`
}))
