/**
 * Files from peer to peer (`docs/files.md`).
 *
 * @module
 */
export { Incoming, LABEL, MAX_ENTRIES, PROTOCOL, TransferError, VERSION, safeNames } from './incoming.js';
export { Outgoing, newTransfer } from './outgoing.js';
export { Secret } from './secret.js';
export { FolderSink, MEMORY_LIMIT, MemorySink, openSink, placeFor } from './sink.js';
export { StorageSink } from './storage.js';
export { PIECE, Tree, hex, pieceHash } from './tree.js';
