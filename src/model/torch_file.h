/* torch_file.h - the tensors of a file written by torch.save(): a zip with a pickle and its
 * storages. */
#ifndef CONURE_MODEL_TORCH_FILE_H
#define CONURE_MODEL_TORCH_FILE_H

#include "model/model.h"

/* Add the tensors of the dictionary that the file holds to model->tensors, as conure_nemo_open()
 * says. data lies in model->map. */
conure_status conure_torch_file_read(conure_model *model, const uint8_t *data, uint64_t bytes,
                                     conure_error *err);

#endif
