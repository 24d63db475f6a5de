/* gradus.h: the only header a program includes.

   Gradus is a tensor autograd engine: tensors (core.h), operations on them (ops.h), gradients
   (autograd.h), models (nn.h) and what trains them (optim.h), files (io.h) and data sets (data.h);
   and tools that show the graph behind a loss (inspect.h) and a run of training (report.h). */
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
