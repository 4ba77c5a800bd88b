/* handover.c - bodies that come as a descriptor (base/handover.h) over a Unix socket.
 *
 * The peer sends a head that announces them, waits for 100 Continue, and then sends one byte with
 * the descriptor (unix(7), SCM_RIGHTS). It has to wait, because the kernel drops a descriptor whose
 * byte is read without asking for it; so the head is judged before anything is handed over, and
 * libuv, which cannot receive such descriptors, need not know of them. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/connection.h"
#include "wire/number.h"

static const struct trib_http_refusal refusal_of_handover = {
    417, "expectation",
    "Tributary-Handover: only over a Unix socket, with Expect: 100-continue, a body of one byte "
    "and the memory's size"};

const struct trib_http_refusal *trib_connection_read_handover(struct trib_connection *connection,
                                                              struct trib_http_request *request) {
    const char *text = trib_http_request_field(request, "tributary-handover");
    connection->is_handed = text != NULL && (request->content_length > 0 || request->is_chunked);
    if (!connection->is_handed) {
        return NULL;
    }
    uint64_t byte_count = 0;
    if (!connection->is_unix || !request->expects_continue || request->content_length != 1 ||
        !trib_number_read(text, &byte_count) || byte_count == 0 || byte_count > INT64_MAX) {
        return &refusal_of_handover;
    }
    request->content_length = byte_count;
    return NULL;
}

/* Keep the first descriptor of a message and close all others: whoever sends more than one must
 * not fill our table with them. */
static void keep_first(struct trib_connection *connection, struct msghdr *message) {
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL;
         part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(part) + i * sizeof descriptor, sizeof descriptor);
            if (connection->handed < 0) {
                connection->handed = descriptor;
            } else {
                (void)close(descriptor); /* nothing was written to it */
            }
        }
    }
}

void trib_connection_receive_handed(struct trib_connection *connection) {
    uv_os_fd_t socket = -1;
    char byte;
    union {
        struct cmsghdr head; /* aligns it */
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec place = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &place,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    TRIB_ASSERT(uv_fileno(&connection->socket.handle, &socket) == 0);
    do {
        connection->handed_got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (connection->handed_got < 0 && errno == EINTR);
    if (connection->handed_got > 0) {
        keep_first(connection, &message);
    } else if (connection->handed_got < 0 && errno != EAGAIN) {
        connection->handed_got = 0; /* lost is as good as ended */
    }
}

void trib_connection_drop_handed(struct trib_connection *connection) {
    if (connection->handed >= 0) {
        (void)close(connection->handed); /* nothing was written to it */
        connection->handed = -1;
    }
}

bool trib_exchange_is_handed(const struct trib_exchange *exchange) {
    return trib_connection_of(exchange)->is_handed;
}

int trib_exchange_take_handed(struct trib_exchange *exchange) {
    struct trib_connection *connection = trib_connection_of(exchange);
    int descriptor = connection->handed;
    connection->handed = -1;
    return descriptor;
}
