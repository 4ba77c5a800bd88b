/* certificate.h - what this project needs to know of an X.509 certificate: its pin, and whether
 * `trib cert` made it. */
#ifndef TRIB_NET_CERTIFICATE_H
#define TRIB_NET_CERTIFICATE_H

#include <openssl/x509.h>
#include <stdbool.h>

#define TRIB_PIN_BYTES 65

/* The common name of each CA that `trib cert` makes begins so. */
#define TRIB_LAB_CA "Tributary lab CA"

/* The SHA-256 of its public key (DER of SubjectPublicKeyInfo, RFC 7469 section 2.4), in hex. The
 * key and not the certificate: that one is replaced every year. False: no memory. */
bool trib_certificate_pin(const X509 *certificate, char pin[TRIB_PIN_BYTES]);
/* Was it signed by a CA of `trib cert`, which nobody trusts unless told to? */
bool trib_certificate_is_of_lab(const X509 *certificate);
/* Is it for this host, a name or an address without brackets? */
bool trib_certificate_is_for(const X509 *certificate, const char *host);

#endif
