"""The few loops worth compiling. The plain array code here is the reference that compiled versions are tested against."""

from .activation import relu, relu_grad
from .elementary import abs, exp, maximum, minimum, sign, sqrt, where
from .products import affine, affine_back, matmul
from .scatter import add_at
from .softmax import at_least_one, cross_entropy, cross_entropy_grad, mean_cross_entropy, mean_cross_entropy_grad
from .squares import joint_norm, square_sums
from .update import update
