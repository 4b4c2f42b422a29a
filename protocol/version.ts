/** The version of the wire: it changes when a message, a frame or the meaning of a field changes, and a worker of another version is refused. */
export const PROTOCOL_VERSION = 6
