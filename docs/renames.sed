# renames.sed: moves a program to the present names of calls, from those of November 2026:
#     sed -E -i -f docs/renames.sed prog.c
# A call that stands on several lines may need a hand.

# Pairs of names that match.
s/\bgr_model_open\b/gr_model_new/g
s/\bgr_loader_free\b/gr_loader_close/g
s/\bgr_confusion_open\b/gr_confusion_new/g
s/\bgr_explain\(/gr_explain_format(/g

# A batch has inputs and targets.
s/\b(batch|b)(\.|->)images\b/\1\2inputs/g
s/\b(batch|b)(\.|->)labels\b/\1\2targets/g

# Sizes of an image or a kernel are one argument.
/gr_hw\(/!s/\bgr_conv2d_(input|kernel)_grad\(([^,()]*(\([^()]*\))?[^,()]*), ([^,()]*(\([^()]*\))?[^,()]*), ([^,()]*(\([^()]*\))?), ([^,()]*(\([^()]*\))?)/gr_conv2d_\1_grad(\2, \4, gr_hw(\6, \8)/g
/gr_hw\(/!s/\bgr_adaptive_avg_pool2d\(([^,()]*(\([^()]*\))?[^,()]*), ([^,()]+), ([^,()]+)\)/gr_adaptive_avg_pool2d(\1, gr_hw(\3, \4))/g

# Structs of options.
s/\bgr_avg_pool2d_options\b/gr_pool_options/g
s/\bgr_pair_options\b/gr_loss_options/g

# Numbers of elements before and after each dimension are a gr_shape.
s/\bgr_pad\(([^;]*), GR_DIMS\(/gr_pad(\1, gr_shape(/g
s/\.after = GR_DIMS\(/.after = gr_shape(/g
