/* gradus.h: the only header a program includes.

   Gradus is a tensor autograd engine: tensors (core.h), operations on them (ops.h), gradients (autograd.h), models (nn.h) and what
   trains them (optim.h), files (io.h), data sets (data.h), the graph behind a loss made visible (inspect.h), reports of training (report.h). */
#ifndef GRADUS_H
#define GRADUS_H

#include "gradus/autograd.h"
#include "gradus/checkpoint.h"
#include "gradus/core.h"
#include "gradus/data.h"
#include "gradus/inspect.h"
#include "gradus/io.h"
#include "gradus/nn.h"
#include "gradus/ops.h"
#include "gradus/optim.h"
#include "gradus/report.h"
#include "gradus/types.h"

#endif
