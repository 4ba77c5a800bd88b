/* certificate.c - questions to OpenSSL about one certificate. */
#include "net/certificate.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

bool trib_certificate_pin(const X509 *certificate, char pin[TRIB_PIN_BYTES]) {
    unsigned char *der = NULL;
    unsigned char digest[32];
    int der_bytes = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    bool is_made =
        der_bytes > 0 && EVP_Digest(der, (size_t)der_bytes, digest, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    for (size_t i = 0; is_made && i < sizeof digest; i++) {
        (void)snprintf(pin + 2 * i, 3, "%02x", digest[i]);
    }
    return is_made;
}

bool trib_certificate_is_of_lab(const X509 *certificate) {
    char name[128];
    int bytes = X509_NAME_get_text_by_NID(X509_get_issuer_name(certificate), NID_commonName, name,
                                          sizeof name);
    return bytes > 0 && strncmp(name, TRIB_LAB_CA, strlen(TRIB_LAB_CA)) == 0;
}

bool trib_certificate_is_for(const X509 *certificate, const char *host) {
    X509 *asked = (X509 *)certificate; /* OpenSSL 3.0 forgot a const, and changes nothing */
    return X509_check_host(asked, host, 0, 0, NULL) == 1 || X509_check_ip_asc(asked, host, 0) == 1;
}
