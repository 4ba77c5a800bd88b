/* dataset.h - labelled rows for the native trainers, read from IDX, CSV or text files.
 *
 * What a path may name:
 *
 *   a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
 *   t10k-labels-idx1-ubyte: the MNIST format (LeCun, Cortes, Burges). Pixels are divided by 255.
 *
 *   a folder with train.csv and test.csv, or one .csv file: numbers separated by commas, one row
 *   per line, all of the same width, the label (an integer from 0) last. A first line that begins
 *   with a letter, a quote, '_' or '#' is a header; empty lines are skipped. Features are divided
 *   by the largest magnitude in the training part of the whole table (pixels 0..16: by 16).
 *   One file is split by seed: a fifth of its rows, rounded up, is the test part. The rows of a
 *   part keep the order of the file.
 *
 *   a .txt or .tsv file: text, of which the next character is to be told. A row is a window of 80
 *   characters; features are the symbols that come before, labels those that come next. Symbols are
 *   bytes 0..255, 256 (nothing has been said yet) and 257 (nothing comes any more, and has label
 *   -1). A .tsv has four columns, play, role, number of the speech and line, and every role is an
 *   owner; its first 80 % of lines, at least one, are the training part, the others, at least one,
 *   the test part; a role with one line only is left out (McMahan et al. 2017, section 3). A .txt
 *   has one owner and is split after 90 % of its characters. Each part of an owner is read from
 *   symbol 256 on, with a newline after each line, and cut into windows that do not overlap.
 *
 *   a folder with processed.cleveland.data, .hungarian, .switzerland and .va (UCI heart disease):
 *   four hospitals are the owners, and the label is whether the disease was found. Or a .arff file
 *   of WISDM 1.1: 36 people are the owners, six activities the labels. Features are centred and
 *   scaled as the training rows are spread, what is missing becomes 0. Every fifth row of each owner
 *   is the test part.
 *
 * Every file may also be gzip with ".gz" at the end of its name. Nothing is written anywhere. */
#ifndef TRIB_TRAIN_DATASET_H
#define TRIB_TRAIN_DATASET_H

#include "base/env.h"
#include "base/status.h"

#define TRIB_DATASET_CLASSES_MAX 4096        /* reason: a label is a class, not a measurement */
#define TRIB_DATASET_FEATURES_MAX (1u << 20) /* reason: a 1000 x 1000 picture */
#define TRIB_DATASET_ROWS_MAX (1u << 28)     /* reason: row indices are 32-bit with room */
#define TRIB_DATASET_BYTES_MAX (UINT64_C(4) << 30) /* reason: of features held in memory */

#define TRIB_TEXT_SYMBOLS 258 /* bytes and these two: */
#define TRIB_TEXT_START 256
#define TRIB_TEXT_END 257
#define TRIB_TEXT_WINDOW 80 /* characters of a row */

enum trib_dataset_part { TRIB_DATASET_TRAIN, TRIB_DATASET_TEST };

/* What to read; all zero is the whole training part by the rules above. */
struct trib_dataset_request {
    enum trib_dataset_part part;
    uint64_t split_seed;  /* of a CSV file that is split; must be the same for both parts */
    double feature_scale; /* divide features by this; 0 = the rule of the format. Clients with
                             tables of their own need one value to agree on */
    uint32_t class_count; /* labels must be below; 0 = the largest label of the training part + 1 */
    bool is_labels_only;  /* features stay NULL: enough to partition, and quick for IDX */
    const uint32_t *rows; /* keep these rows of the part, strictly ascending; NULL = all. The scale
                             and class count are those of the whole part all the same */
    size_t row_count;     /* of rows */
};

struct trib_dataset {
    /* read-only */
    float *features;       /* [row_count][feature_count], scaled, finite, 64-byte aligned */
    int32_t *labels;       /* [row_count], 0 <= label < class_count; of text see symbol_count */
    size_t row_count;      /* > 0 after a load */
    size_t feature_count;  /* > 0 after a load; IDX: height * width */
    uint32_t class_count;  /* > 1 */
    uint32_t *owners;      /* [row_count], < owner_count: who brought the row; NULL: not told */
    uint32_t owner_count;  /* of the whole data set, both parts; 0: not told */
    uint32_t symbol_count; /* 0: numbers. Else text: features are symbols below this, in order, and
                              labels are [row_count][feature_count], -1 where the text has ended */

    const struct trib_env *env; /* private */
};

/* Read one part of the data at path.
 *
 * request  NULL means all zero. rows are borrowed.
 * dataset  written only on success; trib_dataset_deinit() when done.
 *
 * TRIB_ENOTFOUND: no such file, or no data of a known kind in the folder; TRIB_EIO: reading
 * failed or the gzip data is damaged; TRIB_EMALFORMED: the contents (error names file, line and
 * column); TRIB_ETRUNCATED: an IDX file ends early; TRIB_ELIMIT: over a limit above;
 * TRIB_EINVALID: request (rows out of order or out of range); TRIB_EMEMORY.
 * Thread: any.  Cost: reads whole files; memory for the rows kept, and while a CSV is read for all
 * of its rows. */
enum trib_status trib_dataset_load(const struct trib_env *env, const char *path,
                                   const struct trib_dataset_request *request,
                                   struct trib_dataset *dataset, struct trib_error *error);
/* A data set of some rows of another, in their order. rows: indices below from->row_count.
 * TRIB_EMEMORY: then *dataset is zero. */
enum trib_status trib_dataset_pick(const struct trib_env *env, const struct trib_dataset *from,
                                   const uint32_t *rows, size_t row_count,
                                   struct trib_dataset *dataset, struct trib_error *error);
void trib_dataset_deinit(struct trib_dataset *dataset); /* all-zero is safe */

#endif
