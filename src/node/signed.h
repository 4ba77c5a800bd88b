/* signed.h - what the daemon puts its name to: receipts of updates, and the head of a ledger.
 *
 *     tributary-receipt-1~run~client~update~SHA-256~base~weight~version~time~signature
 *     tributary-head-1~run~index~SHA-256~time~signature
 *
 * One line each, that a client can keep and anybody can check later with the daemon's public key.
 * Numbers are decimal, time is in unix seconds; digests and the signature (Ed25519, of all before
 * its '~') are hex. Names have no '~' in them. */
#ifndef TRIB_NODE_SIGNED_H
#define TRIB_NODE_SIGNED_H

#include "base/digest.h"
#include "base/files.h"
#include "base/name.h"
#include "base/signature.h"

#define TRIB_SIGNED_TEXT_BYTES 512 /* with the NUL; the longest of both fits */
#define TRIB_SIGNED_KEY_FILE "ledger.key"
#define TRIB_SIGNED_PUBLIC_FILE "ledger.pub"

/* The update of this client is durable, and will be counted so or reported as dropped. */
struct trib_signed_receipt {
    char run[TRIB_NAME_BYTES];
    char client[TRIB_NAME_BYTES];
    char update[TRIB_NAME_BYTES];
    struct trib_digest digest;      /* of the body */
    uint64_t base, weight, version; /* weight and version 0: they were not decided yet */
    uint64_t time;                  /* of the admission */
};

/* The record of this index was the last one. */
struct trib_signed_head {
    char run[TRIB_NAME_BYTES];
    uint64_t index;
    struct trib_digest digest;
    uint64_t time; /* when it was asked for */
};

/* The key in the data directory, made when there is none; ledger.pub is written when it is not
 * there. TRIB_ECORRUPT: ledger.key is not one of ours; TRIB_EIO and the like; error says it. */
enum trib_status trib_signed_key_open(const struct trib_env *env, const struct trib_files *files,
                                      struct trib_signature_key **key, struct trib_error *error);

/* Write the signed line, NUL-terminated; returns text. Thread: any. */
const char *trib_signed_receipt_write(const struct trib_signature_key *key,
                                      const struct trib_signed_receipt *receipt,
                                      char text[TRIB_SIGNED_TEXT_BYTES]);
const char *trib_signed_head_write(const struct trib_signature_key *key,
                                   const struct trib_signed_head *head,
                                   char text[TRIB_SIGNED_TEXT_BYTES]);

/* Read a line of any origin and check who signed it. TRIB_OK; TRIB_EMALFORMED: no such line;
 * TRIB_EUNAUTHORIZED: not signed with this key. */
enum trib_status trib_signed_receipt_read(const struct trib_signature_key *key, const char *text,
                                          struct trib_signed_receipt *receipt);
enum trib_status trib_signed_head_read(const struct trib_signature_key *key, const char *text,
                                       struct trib_signed_head *head);

#endif
