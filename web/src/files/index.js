/**
 * Files from peer to peer (`docs/files.md`).
 *
 * @module
 */
export { LABEL_AGAIN, MAX_ASKED, askedFor, questionFor } from './again.js';
export { Incoming, LABEL, MAX_ENTRIES, PROTOCOL, TransferError, VERSION, safeNames } from './incoming.js';
export { Outgoing, newTransfer } from './outgoing.js';
export { Secret } from './secret.js';
export { FolderSink, FormerFolder } from './folder.js';
export { keepRecord, recordOf, removeRecord } from './records.js';
export { MEMORY_LIMIT, MemorySink, formerSink, openSink, placeFor } from './sink.js';
export { StorageSink } from './storage.js';
export { PIECE, Tree, hex, pieceHash } from './tree.js';
