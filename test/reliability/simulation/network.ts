/** The two sockets over virtual connections: what ZeroMQ promises and no more, and on demand less. */
import { WorkerError } from '../../../ts/errors.ts'
import type { Channel } from '../../../ts/worker/channel.ts'
import { kindOf } from './wire.ts'
import type { Process, World } from './world.ts'

export type SocketName = 'control' | 'data'
/** What ZeroMQ never does to a single message. */
export type Interference = 'drop' | 'duplicate' | 'swap'
type Frames = readonly Uint8Array[]

/** A worker's end of one connection. It connects by itself, again and again, for as long as its process lives. */
export interface Dealer {
  send(frames: Frames): void
  /** Resolves when everything said has left, or after lingerMs. */
  flush(lingerMs: number): Promise<void>
}

export interface NetworkOptions {
  /** Whether something happens to this message; numberOfKind counts from 1. */
  readonly interfere: (kind: string, numberOfKind: number) => Interference | undefined
  /** What leaves for a worker and what reaches the orchestrator, in that order. */
  readonly onSent: (address: string, frames: Frames) => void
  readonly onArrived: (address: string, frames: Frames) => void
}

export interface Network {
  /** A new orchestrator's channel; whoever knows the endpoint can come back to it. */
  open(endpoint: string, owner: Process): Channel
  connect(endpoint: string, name: SocketName, address: string, owner: Process, receive: (frames: Frames) => void): Dealer
  /** Nothing arrives on these connections for a while, and everything later. */
  clog(name: SocketName, ms: number): void
  /** The connections break: what is on its way is lost from some message on. They come back after a while. */
  disconnect(name: SocketName, ms: number): void
}

interface Link {
  readonly name: SocketName
  readonly address: string
  readonly owner: Process
  readonly receive: (frames: Frames) => void
  readonly endpoint: string
  server: Server | undefined
  /** Said before there was a connection. */
  readonly waiting: Frames[]
  /** On their way, oldest first. */
  readonly up: Flight[]
  readonly down: Flight[]
}

interface Flight {
  readonly at: number
  isLost: boolean
}

interface Server {
  readonly owner: Process
  listener: Parameters<Channel['onMessage']>[0] | undefined
}

const CONNECT_MS = 50

export function createNetwork(world: World, { interfere, onSent, onArrived }: NetworkOptions): Network {
  const { random } = world
  const servers = new Map<string, Server>()
  const links = new Set<Link>()
  const cloggedUntil = { control: 0, data: 0 }
  const brokenUntil = { control: 0, data: 0 }
  const counts = new Map<string, number>()
  /** A message that is to arrive after the next one of its flight. */
  const held = new Map<Flight[], () => void>()

  function fly(link: Link, flights: Flight[], frames: Frames, arrive: () => void): void {
    const kind = kindOf(frames)
    const number = (counts.get(kind) ?? 0) + 1
    counts.set(kind, number)
    const interference = interfere(kind, number)
    if (interference === 'drop') return
    if (interference === 'swap' && !held.has(flights)) {
      held.set(flights, () => depart(link, flights, arrive))
      return
    }
    depart(link, flights, arrive)
    if (interference === 'duplicate') depart(link, flights, arrive)
    const other = held.get(flights)
    held.delete(flights)
    other?.()
  }

  function depart(link: Link, flights: Flight[], arrive: () => void): void {
    const latency = random.chance(0.1) ? random.between(5, 80) : random.between(0, 5)
    const at = Math.max(world.now + latency, cloggedUntil[link.name], flights.at(-1)?.at ?? 0)
    const flight: Flight = { at, isLost: false }
    flights.push(flight)
    world.after(at - world.now, () => {
      flights.splice(flights.indexOf(flight), 1)
      if (!flight.isLost) arrive()
    })
  }

  function sendUp(link: Link, server: Server, frames: Frames): void {
    fly(link, link.up, frames, () => {
      server.owner.receive(0, () => {
        onArrived(link.address, frames)
        server.listener?.({ socket: link.name, address: link.address }, frames.slice())
      })
    })
  }

  /** Some of what is on its way still arrives, in order; the rest never does. */
  function cut(flights: Flight[]): void {
    for (const flight of flights.slice(random.below(flights.length + 1))) flight.isLost = true
  }

  function close(link: Link): void {
    cut(link.up)
    cut(link.down)
    link.server = undefined
  }

  /** Tries until the process is gone: the endpoint may be bound later, or again. */
  function dial(link: Link): void {
    const ms = Math.max(random.between(0, CONNECT_MS), brokenUntil[link.name] - world.now)
    world.after(ms, () => {
      if (!link.owner.isAlive || link.server) return
      const server = servers.get(link.endpoint)
      if (server?.owner.isAlive !== true || brokenUntil[link.name] > world.now) return dial(link)
      link.server = server
      for (const frames of link.waiting.splice(0)) sendUp(link, server, frames)
    })
  }

  return {
    open(endpoint, owner) {
      const server: Server = { owner, listener: undefined }
      servers.set(endpoint, server)
      const linkTo = (name: SocketName, address: string): Link | undefined =>
        [...links].find((link) => link.name === name && link.address === address && link.server === server && link.owner.isAlive)
      return {
        controlEndpoint: endpoint,
        dataEndpoint: endpoint,
        onMessage(listener) {
          server.listener = listener
        },
        async send(name, address, frames) {
          if (!owner.isAlive) return
          const link = linkTo(name, address)
          if (!link) throw new WorkerError('WORKER_GONE', `could not send to worker ${address} on the ${name} channel: no such peer`)
          onSent(address, frames)
          fly(link, link.down, frames, () => link.owner.receive(0, () => link.receive(frames)))
        },
        async [Symbol.asyncDispose]() {
          server.listener = undefined
          if (servers.get(endpoint) === server) servers.delete(endpoint)
          for (const link of links) if (link.server === server) link.server = undefined
        },
      }
    },
    connect(endpoint, name, address, owner, receive) {
      const link: Link = { name, address, owner, receive, endpoint, server: undefined, waiting: [], up: [], down: [] }
      links.add(link)
      dial(link)
      return {
        send(frames) {
          if (link.server && !link.server.owner.isAlive) {
            close(link)
            dial(link)
          }
          if (link.server) sendUp(link, link.server, frames)
          else link.waiting.push(frames)
        },
        async flush(lingerMs) {
          const deadline = world.now + lingerMs
          while (link.waiting.length > 0 && world.now < deadline) await owner.sleep(50)
        },
      }
    },
    clog(name, ms) {
      cloggedUntil[name] = world.now + ms
    },
    disconnect(name, ms) {
      brokenUntil[name] = world.now + ms
      for (const link of links) {
        if (link.name !== name || !link.server) continue
        close(link)
        dial(link)
      }
    },
  }
}
