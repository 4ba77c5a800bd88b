/* update_head.c - what an update says about itself, in its headers or in its body's metadata.
 *
 * Each source is read into values by itself and then joined by value: {"loss":0.5} and
 * {"loss": 5e-1} agree, and nothing depends on which source was read first. */
#include <string.h>

#include "wire/documents.h"
#include "wire/number.h"

enum trib_status trib_update_head_decode(const struct trib_update_texts *texts,
                                         struct trib_update_head *head, struct trib_error *error) {
    struct trib_update_head fresh;
    memset(&fresh, 0, sizeof fresh);
    fresh.has_base = texts->base != NULL;
    fresh.has_examples = texts->examples != NULL;
    fresh.has_codec = texts->codec != NULL;
    fresh.has_metrics = texts->metrics != NULL;
    if (fresh.has_base && !trib_number_read(texts->base, &fresh.base))
        return trib_error_set(error, TRIB_EINVALID, "base version: \"%.24s\" is not a whole number",
                              texts->base);
    if (fresh.has_examples && !trib_number_read(texts->examples, &fresh.examples))
        return trib_error_set(error, TRIB_EINVALID, "examples: \"%.24s\" is not a whole number",
                              texts->examples);
    if (fresh.has_codec) {
        size_t byte_count = strlen(texts->codec);
        if (!trib_name_is_valid(texts->codec, byte_count) || byte_count >= sizeof fresh.codec)
            return trib_error_set(error, TRIB_EINVALID, "codec: \"%.32s\" is not a name",
                                  texts->codec);
        memcpy(fresh.codec, texts->codec, byte_count + 1);
    }
    if (fresh.has_metrics) {
        enum trib_status status =
            trib_metrics_decode(texts->metrics, strlen(texts->metrics), &fresh.metrics, error);
        if (status != TRIB_OK)
            return status;
    }
    *head = fresh;
    return TRIB_OK;
}

static enum trib_status differ(const char *field, struct trib_error *error) {
    return trib_error_set(error, TRIB_EINVALID, "%s: header and __metadata__ differ", field);
}

static enum trib_status check_agreement(const struct trib_update_head *headers,
                                        const struct trib_update_head *metadata,
                                        struct trib_error *error) {
    if (headers->has_base && metadata->has_base && headers->base != metadata->base)
        return differ("base version", error);
    if (headers->has_examples && metadata->has_examples && headers->examples != metadata->examples)
        return differ("examples", error);
    if (headers->has_codec && metadata->has_codec && strcmp(headers->codec, metadata->codec) != 0)
        return differ("codec", error);
    if (headers->has_metrics && metadata->has_metrics &&
        !trib_metrics_equal(&headers->metrics, &metadata->metrics))
        return differ("metrics", error);
    return TRIB_OK;
}

enum trib_status trib_update_head_join(const struct trib_update_head *headers,
                                       const struct trib_update_head *metadata,
                                       struct trib_update_head *head, struct trib_error *error) {
    enum trib_status status = check_agreement(headers, metadata, error);
    if (status != TRIB_OK)
        return status;
    struct trib_update_head joined = *headers;
    if (!joined.has_base)
        joined.base = metadata->base;
    if (!joined.has_examples)
        joined.examples = metadata->examples;
    if (!joined.has_codec)
        memcpy(joined.codec, metadata->has_codec ? metadata->codec : "dense",
               metadata->has_codec ? sizeof joined.codec : sizeof "dense");
    if (!joined.has_metrics)
        joined.metrics = metadata->metrics;
    joined.has_base |= metadata->has_base;
    joined.has_examples |= metadata->has_examples;
    joined.has_codec = true;
    joined.has_metrics |= metadata->has_metrics;
    if (!joined.has_base || !joined.has_examples)
        return trib_error_set(error, TRIB_EINVALID,
                              "%s is missing in the headers and in __metadata__",
                              joined.has_base ? "Tributary-Examples" : "Tributary-Base-Version");
    *head = joined;
    return TRIB_OK;
}
