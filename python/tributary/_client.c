/* _client.c - tributary._client: include/tributary/client.h as a Python type.
 *
 * As thin as it can be: arguments in, results out, and the interpreter is let go during every call
 * that may wait. What is friendly is in _link.py and client.py. Only CPython's stable ABI of 3.11
 * is used, so that one file serves every later version.
 *
 * One thread at a time may be in a client, as the C library has it, but for interrupt(). */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "tributary/client.h"

/* With OpenSSL a client goes the way that `trib join` goes. */
#ifdef TRIB_WITH_TLS
#include "cli/way.h"
#include "client/join_link.h"
#define HAS_TLS 1
#else
#define HAS_TLS 0
#endif

static PyObject *failure; /* Failure(result, text) */
static PyTypeObject *values_type;

/* --- values: the memory of a model, lent to as many views as there are ------------------------ */

struct values {
    PyObject_HEAD struct trib_client_kept *kept;
    void *bytes;
    Py_ssize_t byte_count;
};

static int values_lend(PyObject *object, Py_buffer *view, int flags) {
    struct values *values = (struct values *)object;
    return PyBuffer_FillInfo(view, object, values->bytes, values->byte_count, 0, flags);
}

static void values_dealloc(PyObject *object) {
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    trib_client_release(((struct values *)object)->kept);
    release(object);
    Py_DECREF(type);
}

static PyType_Slot values_slots[] = {
    {Py_tp_doc, "Memory of one model's values: a buffer of bytes, writable."},
    {Py_bf_getbuffer, values_lend},
    {Py_tp_dealloc, values_dealloc},
    {0, NULL},
};

static PyType_Spec values_spec = {
    .name = "tributary._client.Values",
    .basicsize = sizeof(struct values),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = values_slots,
};

/* --- clients ---------------------------------------------------------------------------------- */

struct client {
    PyObject_HEAD struct trib_client *handle; /* NULL: closed */
    struct trib_client_task task;             /* the last one of next(); id "" before */
    const struct trib_client_tensor *tensors; /* of the last model(); NULL before */
    size_t tensor_count;
    bool is_busy;
    pid_t owner; /* a fork has the same connection, and must not speak on it */
#if HAS_TLS
    struct trib_way way;
    bool has_way;
#endif
};

/* Begin a call: false with an exception when there can be none. */
static bool enter(struct client *client) {
    if (client->handle == NULL || client->is_busy) {
        PyErr_SetString(PyExc_RuntimeError, client->is_busy ? "the client is in a call already"
                                                            : "the client is closed");
        return false;
    }
    client->is_busy = true;
    return true;
}

static PyObject *raise_failure(enum trib_client_result result, const char *text) {
    PyObject *arguments = Py_BuildValue("(is)", (int)result, text);
    if (arguments != NULL) {
        PyErr_SetObject(failure, arguments);
        Py_DECREF(arguments);
    }
    return NULL;
}

/* End a call: None, or NULL with a Failure. */
static PyObject *leave(struct client *client, enum trib_client_result result) {
    client->is_busy = false;
    if (result == TRIB_CLIENT_OK) {
        Py_RETURN_NONE;
    }
#if HAS_TLS
    if (result == TRIB_CLIENT_INTERRUPTED) {
        trib_sockets_silence(&client->way.sockets);
    }
#endif
    return raise_failure(result, trib_client_error(client->handle));
}

static void close_handle(struct client *client) {
    trib_client_close(client->handle);
    client->handle = NULL;
    client->tensors = NULL;
#if HAS_TLS
    if (client->has_way) {
        trib_way_close(&client->way);
        client->has_way = false;
    }
#endif
}

#if HAS_TLS
/* False with an exception. */
static bool open_way(struct client *client, const char *link_text,
                     const struct trib_way_options *options) {
    struct trib_link link;
    struct trib_error error = {0};
    enum trib_status status = trib_join_link_parse(link_text, &link, &error);
    if (status == TRIB_OK) {
        status = trib_way_open(trib_env_system(), &link, options, &client->way, &error);
    }
    client->has_way = status == TRIB_OK;
    if (!client->has_way) {
        (void)raise_failure(status == TRIB_EMEMORY ? TRIB_CLIENT_MEMORY : TRIB_CLIENT_INVALID,
                            error.text); /* the exception is set */
    }
    return client->has_way;
}
#endif

/* Needs no network: false with an exception. */
static bool open_handle(struct client *client, PyObject *arguments) {
    struct trib_client_options options = {.size = sizeof options, .joins_later = 1};
    const char *ca_file;
    const char *certificate_file;
    const char *key_file;
    char why[256];
    if (!PyArg_ParseTuple(arguments, "ssszdzzz", &options.link, &options.client, &options.role,
                          &options.attributes, &options.retry_for_s, &ca_file, &certificate_file,
                          &key_file)) {
        return false;
    }
#if HAS_TLS
    const struct trib_way_options way = {ca_file, certificate_file, key_file};
    if (!open_way(client, options.link, &way)) {
        return false;
    }
    options.transport = trib_way_transport(&client->way);
#endif
    enum trib_client_result result = trib_client_open(&options, &client->handle, why, sizeof why);
    if (result != TRIB_CLIENT_OK) {
        (void)raise_failure(result, why); /* the exception is set */
        return false;
    }
    return true;
}

static PyObject *client_new(PyTypeObject *type, PyObject *arguments, PyObject *names) {
    if (names != NULL) {
        PyErr_SetString(PyExc_TypeError, "Client takes no keyword arguments");
        return NULL;
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct client *client = (struct client *)allocate(type, 0);
    if (client == NULL) {
        return NULL;
    }
    client->owner = getpid();
    if (!open_handle(client, arguments)) {
        Py_DECREF((PyObject *)client);
        return NULL;
    }
    return (PyObject *)client;
}

static void client_dealloc(PyObject *object) {
    struct client *client = (struct client *)object;
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    if (client->owner == getpid()) {
        close_handle(client);
    }
    release(object);
    Py_DECREF(type);
}

/* --- calls ------------------------------------------------------------------------------------ */

static PyObject *client_join(PyObject *self, PyObject *none) {
    struct client *client = (struct client *)self;
    enum trib_client_result result;
    (void)none; /* no arguments */
    if (!enter(client)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS result = trib_client_join(client->handle);
    Py_END_ALLOW_THREADS PyObject *left = leave(client, result);
    if (left == NULL) {
        return NULL;
    }
    Py_DECREF(left);
    return PyFloat_FromDouble(trib_client_lease_s(client->handle));
}

static PyObject *client_next(PyObject *self, PyObject *none) {
    struct client *client = (struct client *)self;
    struct trib_client_task *task = &client->task;
    enum trib_client_result result;
    (void)none; /* no arguments */
    if (!enter(client)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS result = trib_client_next(client->handle, task);
    Py_END_ALLOW_THREADS PyObject *left = leave(client, result);
    if (left == NULL) {
        return NULL;
    }
    Py_DECREF(left);
    return Py_BuildValue("(ssKKds)", task->kind == TRIB_CLIENT_TRAIN ? "train" : "evaluate",
                         task->id, (unsigned long long)task->version,
                         (unsigned long long)task->global_step, task->expected_by_s,
                         task->settings);
}

static PyObject *shape_of(const struct trib_client_tensor *tensor) {
    PyObject *shape = PyTuple_New((Py_ssize_t)tensor->rank);
    for (uint32_t i = 0; shape != NULL && i < tensor->rank; i++) {
        PyObject *size = PyLong_FromUnsignedLongLong(tensor->shape[i]);
        if (size == NULL || PyTuple_SetItem(shape, (Py_ssize_t)i, size) != 0) {
            Py_DECREF(shape);
            return NULL;
        }
    }
    return shape;
}

/* [(name, shape, offset in bytes)] */
static PyObject *describe_tensors(const struct client *client) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < client->tensor_count; i++) {
        const struct trib_client_tensor *tensor = &client->tensors[i];
        Py_ssize_t offset =
            (Py_ssize_t)((tensor->values - client->tensors[0].values) * (ptrdiff_t)sizeof(float));
        PyObject *shape = shape_of(tensor);
        PyObject *row = shape == NULL ? NULL : Py_BuildValue("(sNn)", tensor->name, shape, offset);
        if (row == NULL || PyList_Append(list, row) != 0) {
            Py_XDECREF(row);
            Py_DECREF(list);
            return NULL;
        }
        Py_DECREF(row);
    }
    return list;
}

/* The tensors lie one behind the other, in their order. */
static PyObject *lend_values(struct client *client) {
    allocfunc allocate = (allocfunc)PyType_GetSlot(values_type, Py_tp_alloc);
    struct values *values = (struct values *)allocate(values_type, 0);
    if (values == NULL) {
        return NULL;
    }
    values->kept = trib_client_keep(client->handle);
    if (client->tensor_count > 0) {
        const struct trib_client_tensor *last = &client->tensors[client->tensor_count - 1];
        const float *end = last->values + last->element_count;
        values->bytes = client->tensors[0].values;
        values->byte_count = (end - client->tensors[0].values) * (Py_ssize_t)sizeof(float);
    }
    return (PyObject *)values;
}

static PyObject *client_model(PyObject *self, PyObject *none) {
    struct client *client = (struct client *)self;
    enum trib_client_result result;
    (void)none; /* no arguments */
    if (!enter(client)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS result =
        trib_client_model(client->handle, &client->task, &client->tensors, &client->tensor_count);
    Py_END_ALLOW_THREADS PyObject *left = leave(client, result);
    if (left == NULL) {
        return NULL;
    }
    Py_DECREF(left);
    PyObject *tensors = describe_tensors(client);
    PyObject *values = tensors == NULL ? NULL : lend_values(client);
    if (values == NULL) {
        Py_XDECREF(tensors);
        return NULL;
    }
    return Py_BuildValue("(NN)", values, tensors);
}

/* --- submitting ------------------------------------------------------------------------------- */

/* Values where they lie in other people's memory. */
struct borrowed {
    Py_buffer *views;     /* [count]; obj NULL where nothing is borrowed */
    const float **values; /* [count] */
    size_t count;
};

static void give_back(struct borrowed *borrowed) {
    for (size_t i = 0; borrowed->views != NULL && i < borrowed->count; i++) {
        if (borrowed->views[i].obj != NULL) {
            PyBuffer_Release(&borrowed->views[i]);
        }
    }
    PyMem_Free(borrowed->views);
    PyMem_Free(borrowed->values);
}

static bool borrow_one(const struct trib_client_tensor *tensor, PyObject *array, Py_buffer *view,
                       const float **values) {
    if (array == Py_None) {
        return true;
    }
    if (PyObject_GetBuffer(array, view, PyBUF_SIMPLE) != 0) {
        return false;
    }
    if ((uint64_t)view->len != tensor->element_count * sizeof(float) ||
        (uintptr_t)view->buf % sizeof(float) != 0) {
        PyErr_Format(PyExc_ValueError, "tensor %s: %zd bytes at %p, not %llu aligned to 4",
                     tensor->name, view->len, view->buf,
                     (unsigned long long)(tensor->element_count * sizeof(float)));
        return false;
    }
    *values = view->buf;
    return true;
}

/* False with an exception; give_back() in any case. */
static bool borrow(const struct client *client, PyObject *arrays, struct borrowed *borrowed) {
    if (client->tensors == NULL || PyTuple_Size(arrays) != (Py_ssize_t)client->tensor_count) {
        PyErr_Format(PyExc_ValueError, "the model has %zu tensors", client->tensor_count);
        return false;
    }
    borrowed->count = client->tensor_count;
    borrowed->views = PyMem_Calloc(borrowed->count + 1, sizeof *borrowed->views);
    borrowed->values = PyMem_Calloc(borrowed->count + 1, sizeof *borrowed->values);
    if (borrowed->views == NULL || borrowed->values == NULL) {
        (void)PyErr_NoMemory(); /* the exception is set */
        return false;
    }
    for (size_t i = 0; i < borrowed->count; i++) {
        if (!borrow_one(&client->tensors[i], PyTuple_GetItem(arrays, (Py_ssize_t)i),
                        &borrowed->views[i], &borrowed->values[i])) {
            return false;
        }
    }
    return true;
}

static PyObject *client_submit(PyObject *self, PyObject *arguments) {
    struct client *client = (struct client *)self;
    struct borrowed borrowed = {0};
    unsigned long long examples;
    const char *metrics;
    PyObject *arrays;
    PyObject *left = NULL;
    if (!PyArg_ParseTuple(arguments, "KzO!", &examples, &metrics, &PyTuple_Type, &arrays) ||
        !enter(client)) {
        return NULL;
    }
    if (borrow(client, arrays, &borrowed)) {
        enum trib_client_result result;
        Py_BEGIN_ALLOW_THREADS result = trib_client_submit_values(
            client->handle, &client->task, borrowed.values, examples, metrics);
        Py_END_ALLOW_THREADS left = leave(client, result);
    }
    client->is_busy = false;
    give_back(&borrowed);
    return left;
}

/* --- small answers ---------------------------------------------------------------------------- */

static PyObject *client_report(PyObject *self, PyObject *arguments) {
    struct client *client = (struct client *)self;
    unsigned long long examples;
    const char *metrics;
    enum trib_client_result result;
    if (!PyArg_ParseTuple(arguments, "Ks", &examples, &metrics) || !enter(client)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS result =
        trib_client_report(client->handle, &client->task, examples, metrics);
    Py_END_ALLOW_THREADS return leave(client, result);
}

static PyObject *client_decline(PyObject *self, PyObject *arguments) {
    struct client *client = (struct client *)self;
    const char *reason;
    enum trib_client_result result;
    if (!PyArg_ParseTuple(arguments, "s", &reason) || !enter(client)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS result = trib_client_decline(client->handle, &client->task, reason);
    Py_END_ALLOW_THREADS return leave(client, result);
}

static PyObject *client_renew(PyObject *self, PyObject *arguments) {
    struct client *client = (struct client *)self;
    double done;
    enum trib_client_result result;
    if (!PyArg_ParseTuple(arguments, "d", &done) || !enter(client)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS result = trib_client_renew(client->handle, &client->task, done);
    Py_END_ALLOW_THREADS return leave(client, result);
}

static PyObject *client_interrupt(PyObject *self, PyObject *none) {
    struct client *client = (struct client *)self;
    (void)none; /* no arguments */
    if (client->handle != NULL) {
#if HAS_TLS
        trib_sockets_ring(&client->way.sockets);
#endif
        trib_client_interrupt(client->handle);
    }
    Py_RETURN_NONE;
}

static PyObject *client_close(PyObject *self, PyObject *none) {
    struct client *client = (struct client *)self;
    (void)none; /* no arguments */
    if (client->handle != NULL) {
        if (!enter(client)) {
            return NULL;
        }
        client->is_busy = false;
        close_handle(client);
    }
    Py_RETURN_NONE;
}

static PyMethodDef client_methods[] = {
    {"join", client_join, METH_NOARGS, "join() -> seconds of the lease, 0.0 when not said"},
    {"next", client_next, METH_NOARGS,
     "next() -> (kind, id, version, global_step, expected_by_s, settings as JSON)"},
    {"model", client_model, METH_NOARGS, "model() -> (Values, [(name, shape, offset in bytes)])"},
    {"submit", client_submit, METH_VARARGS,
     "submit(examples, metrics as JSON or None, (float32 buffer or None, ...))"},
    {"report", client_report, METH_VARARGS, "report(examples, metrics as JSON)"},
    {"decline", client_decline, METH_VARARGS, "decline(reason)"},
    {"renew", client_renew, METH_VARARGS, "renew(share of the work that is done, or -1)"},
    {"interrupt", client_interrupt, METH_NOARGS, "interrupt(): the call in progress, or the next"},
    {"close", client_close, METH_NOARGS, "close()"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot client_slots[] = {
    {Py_tp_doc, "Client(link, client, role, attributes as JSON or None, retry_for_s, ca_file, "
                "certificate_file, key_file)"},
    {Py_tp_new, client_new},
    {Py_tp_dealloc, client_dealloc},
    {Py_tp_methods, client_methods},
    {0, NULL},
};

static PyType_Spec client_spec = {
    .name = "tributary._client.Client",
    .basicsize = sizeof(struct client),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = client_slots,
};

/* --- the module ------------------------------------------------------------------------------- */

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tributary._client",
    .m_doc = "The device library of Tributary.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__client(void) {
    PyObject *self = PyModule_Create(&module);
    PyObject *client_type = PyType_FromSpec(&client_spec);
    values_type = (PyTypeObject *)PyType_FromSpec(&values_spec);
    failure = PyErr_NewException("tributary._client.Failure", NULL, NULL);
    if (self == NULL || client_type == NULL || values_type == NULL || failure == NULL ||
        PyModule_AddObjectRef(self, "Client", client_type) != 0 ||
        PyModule_AddObjectRef(self, "Failure", failure) != 0 ||
        PyModule_AddIntConstant(self, "HAS_TLS", HAS_TLS) != 0) {
        Py_XDECREF(self);
        self = NULL;
    }
    Py_XDECREF(client_type);
    return self;
}
