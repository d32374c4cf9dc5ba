"""Answer pairs with a known relation, by kind: `gold == answer` is the same, `gold != answer` is not."""

TEXT = r"""
# integers
68 == 68
68 == 068
68 == +68
-5 == -5
-5 == −5
1234 == 1,234
1234567 == 1,234,567
1000 == 1 000
７ == 7
0 == -0
12 == 12.
12 == 12.0
12 == $12$
12 == \boxed{12}
12 == \(12\)
12 == 12\,
100 == 10^2
100 == 10^{2}
68 != 67
68 != -68
68 != 6 8 9
1234 != 1,235
12 != 120
100 != 10^3
0 != 1
7 != 77
7 != 7.5
# decimals
0.5 == .5
0.5 == 0.50
0.5 == 0,5
-0.25 == -.25
3.14 == 3.140
1.2 == 1,2
0.001 == 1e-3
0.001 == 1E-3
1500 == 1.5e3
1500 == 1.5 \times 10^3
1500 == 1.5\times10^{3}
1500 == 1.5 \cdot 10^3
0.00015 == 1.5 \times 10^{-4}
6.02e23 == 6.02 \times 10^{23}
0.5 != 0.05
0.5 != 5
3.14 != 3.1416
0.333 != 1/3
1.5e3 != 1.5e4
0.00015 != 1.5 \times 10^{-5}
1e-9 != 1e-10
# fractions
1/2 == 0.5
1/2 == \frac{1}{2}
1/2 == \dfrac{1}{2}
1/2 == \tfrac12
1/2 == \frac12
1/2 == 2/4
-3/4 == -\frac{3}{4}
-3/4 == \frac{-3}{4}
-3/4 == \frac{3}{-4}
3/2 == 1 1/2
3/2 == 1\frac{1}{2}
3/2 == 1.5
-5/2 == -2\frac{1}{2}
-5/2 == -2 1/2
7/3 == 2\frac13
10/5 == 2
1/3 == \frac{2}{6}
22/7 == \frac{22}{7}
1/2 != 1/3
1/2 != 2
1/2 != -1/2
3/2 != 1/2
7/3 != 2.33
7/3 != 2\frac23
-5/2 != 2\frac{1}{2}
1/2^98 != 1/2^99
\frac{1}{2004!} != \frac{1}{2006!}
5/8 == 0.625
5/8 == \frac{10}{16}
-1/3 == -\frac13
9/4 == 2.25
5/8 != 8/5
# percent
50% == 50\%
50% == 0.5
50 == 50%
0.5 == 50%
12.5% == 12.5 %
12.5% == 1/8
100% == 1
50% != 5%
50% != 0.05
50% != 500
0.5 != 5%
0.1% == 0.001
33% == 33 \%
33% != 0.0033
# money
18 == $18
18 == \$18
18 == $18.00
18 == 18 dollars
18 == 18 dollars.
$18 == 18
1,250 == $1,250
25 == 25 dollars
5 dollars == 500 cents
3 == 3元
3元 == 3
12 == 12 元
18 != $81
5 dollars != 50 cents
3元 != 4元
# units
5 m == 5 meters
5 m == 5 metres
5 km == 5000 m
5 == 5 km
5 km == 5
1.5 hours == 90 minutes
90 minutes == 1.5 hours
2 hours == 7200 seconds
3 == 3 小时
3 小时 == 180 分钟
10 kg == 10 千克
2 kg == 2000 g
500 ml == 0.5 liters
7 == 7 apples
7 apples == 7
7 apples == 7 apple
24 == 24 people
24 人 == 24
30 == 30 students
12 days == 12 天
180 == 180^\circ
180 == 180°
180^\circ == 180 degrees
45^\circ == 45°
5 == 5 \text{ cm}
5 \text{ cm} == 5 cm
5 \mathrm{~m} == 5 m
5 m != 5 km
5 m != 5 cm
3 kg != 3 m
1.5 hours != 15 minutes
2 kg != 200 g
7 != 8 apples
24 人 != 25 人
180^\circ != 90^\circ
5 \text{ cm} != 50 \text{ cm}
6 apples != 7 oranges
# tuples and points
(1,2) == (1, 2)
(1,2) == \left(1,2\right)
(1,2) == \langle 1,2\rangle
(1,2) == ( 1 , 2.0 )
(1/2,3) == (0.5,3)
(1/2,3) == (\frac{1}{2}, 3)
(-1,0,1) == (-1, 0, 1)
(3,-4) == \left( 3, -4 \right)
(1,2) != (2,1)
(1,2) != (1,3)
(1,2) != (1,2,3)
(1/2,3) != (2,3)
(3,-4) != (3,4)
# sets
\{1,2\} == \{2,1\}
\{1,2\} == {1, 2}
\{1,2,3\} == \{3,1,2\}
\{1/2,2\} == \{2, 0.5\}
\{1,2\} != \{1,3\}
\{1,2\} != \{1\}
\{1,2,3\} != \{1,2\}
\{1,2\} != \{1,2,4\}
# intervals
[0,1] == [0, 1]
(0,1] == (0, 1]
[0,1) == \left[0,1\right)
(-\infty,2) == (-\infty, 2)
(-\infty,2] == \left(-\infty, 2\right]
[0,1] != (0,1)
[0,1] != [0,2]
(0,1] != [0,1)
(-\infty,2) != (2,\infty)
(2,5) == (2,5)
[2,5) != (2,5]
# assignments and equations
5 == x=5
5 == x = 5
x=5 == 5
x=5 == x = 5
x=5 == x=5.0
1/2 == y = \frac{1}{2}
y=2x+1 == y = 2x + 1
y=2x+1 == y=1+2x
x=5 != x=6
5 != x=6
y=2x+1 != y=2x-1
# expressions
x+1 == 1+x
x+1 == 1 + x
2x == x \cdot 2
2x == x+x
x^2+2x+1 == (x+1)^2
(x+1)(x-1) == x^2-1
a+b == b+a
ab == ba
\frac{x}{2} == 0.5x
\frac{x+1}{2} == \frac{1}{2}x+\frac{1}{2}
x^{2} == x^2
2^{10} == 1024
2^10 == 1024
3! == 6
\binom{5}{2} == 10
x+1 != x+2
x+1 != x-1
2x != 3x
2x != x^2
x^2+2x+1 != (x+2)^2
ab != a+b
2^{10} != 1023
\binom{5}{2} != 20
x(x+1) == x^2+x
\frac{a}{b} == a/b
3x-6 == 3(x-2)
x^2-4 == (x-2)(x+2)
3x-6 != 3(x+2)
x^2-4 != (x-2)^2
# roots
\sqrt{2} == \sqrt{2}
\sqrt{2} == \sqrt 2
\sqrt{8} == 2\sqrt{2}
\sqrt{8} == 2\sqrt 2
\sqrt{4} == 2
\sqrt{2} == sqrt(2)
2\sqrt{2} == 2*sqrt(2)
\frac{\sqrt{2}}{2} == \frac{1}{\sqrt{2}}
\sqrt{12}+\sqrt{3} == 3\sqrt{3}
\sqrt[3]{8} == 2
\sqrt{2} != \sqrt{3}
\sqrt{2} != 2
\sqrt{8} != 4
\frac{\sqrt{2}}{2} != \sqrt{2}
\sqrt[3]{8} != 4
# pi, e, logarithms, angles
\pi == pi
2\pi == 2 pi
2\pi == 2 \cdot \pi
-2\pi == -2*pi
\pi/2 == pi/2
\frac{\pi}{2} == \pi/2
\frac{\pi}{2} == 0.5\pi
\ln 2 == \log 2
\ln(2) == \ln 2
\pi \text{ rad} == 180^\circ
\frac{\pi}{2} == 90^\circ
\sin(0) == 0
\cos(0) == 1
e^{0} == 1
\pi != 2\pi
\pi/2 != \pi/3
2\pi != 2
2 != 2\pi
\ln 2 != \ln 3
\frac{\pi}{2} != 180^\circ
\sin(0) != 1
# complex numbers
1+i == i+1
2i == 2 i
3-4i == 3 - 4i
3-4i == -4i+3
1+i != 1-i
3-4i != 3+4i
2i != -2i
# words
yes == Yes
Yes == yes.
True == true
no == No
A == \text{A}
odd == Odd
\text{even} == even
Monday == monday
yes != no
True != False
A != B
odd != even
Monday != Tuesday
# Chinese
是 == \text{是}
是 == 是。
7 == 答案：7
7 == 答案是7
7 == 答案为 7
12 == 12个
3 == 3天
5 == 5米
5米 == 500厘米
1.5 == 1.5升
100 == １００
1/2 == 答案：\frac{1}{2}
50% == 50％
是 != 否
7 != 答案：8
5米 != 5千米
12 != 13个
3天 != 3小时
20 == 20岁
15 == 15度
8 == 答案：8。
20 != 21岁
# matrices and lists
\begin{pmatrix}1&2\\3&4\end{pmatrix} == \begin{pmatrix}1 & 2\\3 & 4\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} == \begin{bmatrix}1&2\\3&4\end{bmatrix}
1,2,3 == 1, 2, 3
\begin{pmatrix}1&2\\3&4\end{pmatrix} != \begin{pmatrix}1&2\\3&5\end{pmatrix}
1,2,3 != 1,2,4
# torn and empty
5 != ?
5 != unknown
5 != x
5 != 
5 != 5 and 6
5 != 5 or 6
5 != ((((
5 != \frac{5}{
5 != \sqrt{
5 != 1/0
"""


def pairs() -> list[tuple[str, str, str, bool]]:
    """(kind, gold, answer, same) of every line."""
    found, kind = [], ""
    for line in TEXT.strip().splitlines():
        if line.startswith("# "):
            kind = line[2:]
            continue
        same = " == " in line
        gold, answer = line.split(" == " if same else " !=", 1)
        found.append((kind, gold, answer.strip(), same))
    return found
